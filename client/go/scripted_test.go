package antomagent

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// object is what a script sends and is sent.
type object = map[string]interface{}

// scripted is an agent by script: it does what a real one never does on demand.
type scripted struct {
	t        *testing.T
	path     string
	listener net.Listener
	limits   object
	script   func(n int, c *peer)
	all      sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
}

// peer is a client as the agent sees it.
type peer struct {
	t    *testing.T
	conn net.Conn
	dec  *msgpack.Decoder
	lim  object
}

// asked is a request.
type asked struct {
	id     int64
	method string
	params object
}

// newScripted runs script for each connection, n from 0, until the test ends; hello is answered before it sees anything.
func newScripted(t *testing.T, limits object, script func(n int, c *peer)) *scripted {
	t.Helper()
	folder, err := os.MkdirTemp("", "antag-") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	a := &scripted{t: t, path: filepath.Join(folder, "agent.sock"), limits: limits, script: script}
	if a.listener, err = net.Listen("unix", a.path); err != nil {
		t.Fatal(err)
	}
	a.all.Add(1)
	go a.accept()
	t.Cleanup(func() {
		a.listener.Close()
		a.mu.Lock()
		for _, c := range a.conns {
			c.Close()
		}
		a.mu.Unlock()
		a.all.Wait()
		os.RemoveAll(folder)
	})
	return a
}

func (a *scripted) accept() {
	defer a.all.Done()
	for n := 0; ; n++ {
		conn, err := a.listener.Accept()
		if err != nil {
			return
		}
		a.mu.Lock()
		a.conns = append(a.conns, conn)
		a.mu.Unlock()
		a.all.Add(1)
		go func(n int) {
			defer a.all.Done()
			defer conn.Close()
			a.script(n, &peer{t: a.t, conn: conn, dec: msgpack.NewDecoder(nil), lim: a.limits})
		}(n)
	}
}

func (a *scripted) connections() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.conns)
}

// next returns the next request that is not hello; false: the client has gone.
func (c *peer) next() (asked, bool) {
	for {
		var head [4]byte
		if _, err := io.ReadFull(c.conn, head[:]); err != nil {
			return asked{}, false
		}
		data := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(c.conn, data); err != nil {
			return asked{}, false
		}
		var v []interface{}
		if err := msgpack.Unmarshal(data, &v); err != nil || len(v) != 4 {
			c.t.Errorf("not a request: %x: %v", data, err)
			return asked{}, false
		}
		r := asked{id: number(v[1]), method: v[2].(string), params: v[3].(object)}
		if r.method != "hello" {
			return r, true
		}
		limits := c.lim
		if limits == nil {
			limits = object{}
		}
		c.result(r.id, object{"version": 1, "agent": "9", "state": "ready", "limits": limits, "profiles": []int{}})
	}
}

// number is an integer of any width.
func number(v interface{}) int64 {
	switch n := v.(type) {
	case int8:
		return int64(n)
	case uint8:
		return int64(n)
	case uint16:
		return int64(n)
	case uint32:
		return int64(n)
	case int64:
		return n
	}
	return -1
}

// frameOf is any value as a frame.
func frameOf(t testing.TB, v interface{}) []byte {
	data, err := msgpack.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	return append(out, data...)
}

// send is not checked: the client may have gone, which is the test's business.
func (c *peer) send(v interface{}) {
	c.conn.Write(frameOf(c.t, v))
}

func (c *peer) result(id int64, result interface{}) {
	c.send([]interface{}{1, id, nil, result})
}

func (c *peer) event(name string, params object) {
	c.send([]interface{}{2, name, params})
}

// refuse answers an error; id nil: of no request.
func (c *peer) refuse(id interface{}, code int, class string, more object) {
	e := object{"code": code, "name": "N", "class": class, "message": "said so"}
	for k, v := range more {
		e[k] = v
	}
	c.send([]interface{}{1, id, e, nil})
}

// signs answers a sign_request: its body stands in the Signature.
func (c *peer) signs(r asked) {
	c.result(r.id, object{"headers": object{"Client-Id": "5Y", "Request-Time": "1", "Signature": "s" + string(r.params["body"].([]byte)),
		"Content-Type": "application/json; charset=UTF-8"}, "uri": "/sent", "version": 1, "key_version": 7, "record": "soft:1"})
}

// obliging answers whatever is asked as a signing.
func obliging(n int, c *peer) {
	for r, ok := c.next(); ok; r, ok = c.next() {
		c.signs(r)
	}
}

// client of a; closed when the test ends.
func (a *scripted) client(o Options) *Client {
	a.t.Helper()
	o.Path = a.path
	c, err := New(o)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { c.Close() })
	return c
}

func sign(c *Client, ctx context.Context, body string) (*Signed, error) {
	return c.SignRequest(ctx, SignRequest{Profile: "shop/sandbox", Method: "POST", URI: "/ams/api/v1/payments/pay", Body: []byte(body)})
}

// signsWell fails the test unless body is signed as itself.
func signsWell(t *testing.T, c *Client, body string) {
	t.Helper()
	s, err := sign(c, context.Background(), body)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Headers.Get("Signature"); got != "s"+body {
		t.Fatalf("the signature of another: %q", got)
	}
}

// within is a context that ends soon.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
