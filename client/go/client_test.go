package antomagent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// fails returns the error of this package in err, which has this code.
func fails(t *testing.T, err error, code int) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("not %d: %v", code, err)
	}
	return e
}

func TestOptions(t *testing.T) {
	for name, row := range map[string]struct {
		options Options
		field   string
	}{
		"107 bytes":           {Options{Path: strings.Repeat("x", 107)}, ""},
		"108 bytes":           {Options{Path: strings.Repeat("x", 108)}, "path"},
		"an abstract name":    {Options{Path: "@antom"}, "path"},
		"a negative timeout":  {Options{Timeout: -1}, "timeout"},
		"nothing":             {Options{}, ""},
		"with a name, a time": {Options{Name: "shop/2", Timeout: time.Second}, ""},
	} {
		c, err := New(row.options)
		if row.field != "" {
			if e := fails(t, err, CodeBadParam); e.Field != row.field {
				t.Errorf("%s: %v", name, e)
			}
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if err := c.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Setenv("ANTOM_AGENT_SOCKET", "/somewhere/agent.sock")
	if c, err := New(Options{}); err != nil || c.path != "/somewhere/agent.sock" {
		t.Errorf("%v, %v", c, err)
	}
	t.Setenv("ANTOM_AGENT_SOCKET", "")
	if c, err := New(Options{}); err != nil || c.path != pathDefault {
		t.Errorf("%v, %v", c, err)
	}
}

// paramsOf returns what the agent is asked by do, without the deadline.
func paramsOf(t *testing.T, do func(c *Client)) asked {
	t.Helper()
	seen := make(chan asked, 1)
	a := newScripted(t, nil, func(n int, c *peer) {
		if r, ok := c.next(); ok {
			seen <- r
			c.refuse(r.id, CodeDenied, "denied", nil)
		}
	})
	do(a.client(Options{}))
	r := <-seen
	if ms := number(r.params["deadline_ms"]); ms < 1 || ms > 10000 {
		t.Errorf("deadline_ms %d", ms)
	}
	delete(r.params, "deadline_ms")
	return r
}

func TestParams(t *testing.T) {
	ctx := context.Background()
	headers := http.Header{"Signature": {"s"}, "client-id": {"a", "b"}, "X-Empty": {}}
	sent := object{"Signature": "s", "client-id": []interface{}{"a", "b"}, "X-Empty": []interface{}{}}
	for name, row := range map[string]struct {
		do     func(c *Client)
		method string
		want   object
	}{
		"sign": {func(c *Client) { c.SignRequest(ctx, SignRequest{Profile: "p", Method: "POST", URI: "/u"}) }, "sign_request",
			object{"profile": "p", "method": "POST", "uri": "/u", "body": []byte{}}},
		"sign in full": {func(c *Client) {
			c.SignRequest(ctx, SignRequest{Profile: "p", Method: "POST", URI: "/u", Body: []byte{255}, Time: "1", Merchant: "m", Trace: "t"})
		}, "sign_request",
			object{"profile": "p", "method": "POST", "uri": "/u", "body": []byte{255}, "time": "1", "merchant": "m", "trace": "t"}},
		"response": {func(c *Client) { c.VerifyResponse(ctx, Message{Profile: "p", Method: "POST", URI: "/u"}) }, "verify_response",
			object{"profile": "p", "method": "POST", "uri": "/u", "body": []byte{}, "headers": object{}}},
		"notification in full": {func(c *Client) {
			c.VerifyNotification(ctx, Message{Profile: "p", Method: "POST", URI: "/u", Headers: headers, MaxAge: time.Second, Trace: "t"})
		}, "verify_notification",
			object{"profile": "p", "method": "POST", "uri": "/u", "body": []byte{}, "headers": sent, "max_age_ms": int64(1000), "trace": "t"}},
		"explain": {func(c *Client) {
			c.Explain(ctx, ExplainRequest{Kind: KindSign, Profile: "p", Method: "POST", URI: "/u", Time: "1"})
		}, "explain",
			object{"kind": "sign", "profile": "p", "method": "POST", "uri": "/u", "body": []byte{}, "time": "1"}},
		"explain a response": {func(c *Client) {
			c.Explain(ctx, ExplainRequest{Kind: KindResponse, Profile: "p", Method: "POST", URI: "/u", Headers: headers, MaxAge: AnyAge})
		}, "explain",
			object{"kind": "response", "profile": "p", "method": "POST", "uri": "/u", "body": []byte{}, "headers": sent, "max_age_ms": int64(0)}},
		"health": {func(c *Client) { c.Health(ctx) }, "health", object{}},
		"raw":    {func(c *Client) { c.Call(ctx, "new", object{"a": "b"}) }, "new", object{"a": "b"}},
	} {
		got := paramsOf(t, row.do)
		if ms, has := got.params["max_age_ms"]; has {
			got.params["max_age_ms"] = number(ms)
		}
		if got.method != row.method || !reflect.DeepEqual(got.params, row.want) {
			t.Errorf("%s: %s %v", name, got.method, got.params)
		}
	}
}

func TestAges(t *testing.T) {
	for most, want := range map[time.Duration]interface{}{0: nil, AnyAge: int64(0), 1: int64(1), time.Millisecond: int64(1),
		time.Millisecond + 1: int64(2), 25 * time.Hour: int64(90000000)} {
		params := object{}
		if err := addAge(params, most); err != nil || params["max_age_ms"] != want {
			t.Errorf("%v: %v, %v", most, params, err)
		}
	}
	if e := fails(t, addAge(object{}, -time.Second), CodeBadParam); e.Field != "max_age_ms" {
		t.Error(e)
	}
}

func TestDeadlines(t *testing.T) {
	for name, row := range map[string]struct {
		left     time.Duration
		from, to int64
	}{"long": {100 * 24 * time.Hour, deadlineMSMax, deadlineMSMax}, "short": {2 * time.Second, 1, 2000}} {
		ctx := within(t, row.left)
		params, err := withDeadline(ctx, object{"a": 1})
		if ms, _ := params["deadline_ms"].(int64); err != nil || ms < row.from || ms > row.to || params["a"] != 1 {
			t.Errorf("%s: %v, %v", name, params, err)
		}
	}
	_, err := withDeadline(within(t, 500*time.Microsecond), nil)
	fails(t, err, CodeTimeout)
	given := object{}
	if _, err := withDeadline(within(t, time.Minute), given); err != nil || len(given) != 0 {
		t.Errorf("the caller's params are changed: %v, %v", given, err)
	}
}

func TestLooking(t *testing.T) {
	results := map[string]interface{}{
		"explain": object{"kind": "response", "verdict": "UNSIGNED", "code": 400, "message": "m", "body_bytes": 3,
			"findings": []object{{"cause": "unsigned_answer", "message": "f", "remedy": "r", "more": 1}}},
		"health": object{"state": "locked", "reason": "w", "truncated": true,
			"profiles": []object{{"profile": "a/live", "sign": "LOCKED", "sign_why": "w", "verify": "ready"}}},
	}
	a := newScripted(t, nil, func(n int, c *peer) {
		for r, ok := c.next(); ok; r, ok = c.next() {
			c.result(r.id, results[r.method])
		}
	})
	c, ctx := a.client(Options{}), context.Background()
	e, err := c.Explain(ctx, ExplainRequest{Kind: KindResponse})
	want := &Explanation{Kind: "response", Verdict: "UNSIGNED", Code: 400, Message: "m", BodyBytes: 3,
		Findings: []Finding{{"unsigned_answer", "f", "", "r"}}}
	if err != nil || !reflect.DeepEqual(e, want) {
		t.Errorf("%+v, %v", e, err)
	}
	h, err := c.Health(ctx)
	if err != nil || !reflect.DeepEqual(h, &Health{"locked", "w", []ProfileHealth{{"a/live", "LOCKED", "w", "ready", ""}}, true}) {
		t.Errorf("%+v, %v", h, err)
	}
	for _, bad := range []interface{}{nil, "x", object{}, object{"kind": "k", "verdict": "OK", "code": int64(0)},
		object{"kind": "k", "verdict": "OK", "code": int64(0), "findings": []interface{}{"x"}}} {
		_, err := explanationOf(bad)
		fails(t, err, CodeBadFrame)
	}
}

func TestCancelled(t *testing.T) {
	arrived := make(chan asked, 1)
	a := newScripted(t, object{"requests_per_connection": 1}, func(n int, c *peer) {
		r, _ := c.next()
		arrived <- r
		if _, more := c.next(); more && n == 0 {
			t.Error("a request above the limit: the first is still under way")
		}
		obliging(n, c)
	})
	c := a.client(Options{})
	ctx, cancel := context.WithCancel(context.Background())
	failed := make(chan error, 1)
	go func() {
		_, err := sign(c, ctx, "x")
		failed <- err
	}()
	<-arrived
	cancel()
	err := <-failed
	if e := fails(t, err, CodeTimeout); !errors.Is(err, context.Canceled) || e.WorthRepeating() {
		t.Error(err)
	}
	if a.connections() != 1 || !c.current.isUsable() {
		t.Error("a caller's impatience cost the connection")
	}
	_, err = sign(c, within(t, 50*time.Millisecond), "y") // no room: and as nothing comes at all, the connection is given up
	if !errors.Is(fails(t, err, CodeTimeout), context.DeadlineExceeded) {
		t.Error(err)
	}
	if c.current.isUsable() {
		t.Error("a silent connection is kept")
	}
	done, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = sign(c, done, "z")
	if fails(t, err, CodeTimeout); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestLateAnswersGiveRoomBack(t *testing.T) {
	arrived := make(chan bool)
	a := newScripted(t, object{"requests_per_connection": 2}, func(n int, c *peer) {
		var slow asked
		for r, ok := c.next(); ok; r, ok = c.next() {
			switch body := string(r.params["body"].([]byte)); body {
			case "slow":
				slow = r
				arrived <- true
			case "then":
				c.signs(slow)
				c.signs(r)
			default:
				c.signs(r)
			}
		}
	})
	c := a.client(Options{})
	signsWell(t, c, "first")
	failed := make(chan error, 1)
	go func() {
		_, err := sign(c, within(t, time.Second), "slow")
		failed <- err
	}()
	<-arrived
	signsWell(t, c, "beside") // so the agent is not silent, and the connection is kept
	fails(t, <-failed, CodeTimeout)
	signsWell(t, c, "then")
	signsWell(t, c, "last")
	c.current.room.mu.Lock()
	defer c.current.room.mu.Unlock()
	if a.connections() != 1 || c.current.room.requests != 0 || c.current.room.bytes != 0 {
		t.Errorf("%d connections, %d requests are left", a.connections(), c.current.room.requests)
	}
}

func TestTheContextsDeadlineCountsMoreThanTheClients(t *testing.T) {
	a := newScripted(t, nil, func(n int, c *peer) {
		if n == 0 {
			return // so that another connection is made in between
		}
		r, ok := c.next()
		if !ok {
			return
		}
		time.Sleep(200 * time.Millisecond)
		c.signs(r)
	})
	c := a.client(Options{Timeout: 50 * time.Millisecond})
	if _, err := sign(c, within(t, 20*time.Second), "x"); err != nil {
		t.Error(err)
	}
	_, err := sign(c, context.Background(), "x")
	fails(t, err, CodeTimeout)
}

func TestAnAgentThatDoesNotGreetAtFirst(t *testing.T) {
	a := newScripted(t, nil, func(n int, c *peer) {
		if n == 0 { // silent until the client's timeout; the call has more time
			c.conn.Read(make([]byte, 1000))
			c.conn.Read(make([]byte, 1))
			return
		}
		obliging(n, c)
	})
	c := a.client(Options{Timeout: 50 * time.Millisecond})
	if _, err := sign(c, within(t, 20*time.Second), "x"); err != nil {
		t.Error(err)
	}
}

func TestClose(t *testing.T) {
	arrived := make(chan bool)
	a := newScripted(t, nil, func(n int, c *peer) {
		for r, ok := c.next(); ok; r, ok = c.next() {
			if r.method == "watch" {
				c.result(r.id, object{"epoch": 1})
			}
			arrived <- true
		}
	})
	c := a.client(Options{})
	failed := make(chan error, 2)
	go func() {
		_, err := sign(c, context.Background(), "x")
		failed <- err
	}()
	<-arrived
	go func() {
		w, err := c.Watch(context.Background())
		if err == nil {
			_, err = w.Next(context.Background())
		}
		if err == nil {
			_, err = w.Next(context.Background())
		}
		failed <- err
	}()
	<-arrived
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for i := 0; i < 2; i++ {
		err := <-failed
		if e := fails(t, err, CodeRetry); !errors.Is(err, net.ErrClosed) || e.WorthRepeating() {
			t.Error(err)
		}
	}
	_, err := sign(c, context.Background(), "x")
	if fails(t, err, CodeRetry); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	_, err = c.Watch(context.Background())
	if fails(t, err, CodeRetry); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if a.connections() != 2 {
		t.Errorf("%d connections", a.connections())
	}
}

func TestClosedWhileItConnects(t *testing.T) {
	greeted := make(chan bool)
	a := newScripted(t, nil, func(n int, c *peer) {
		c.conn.Read(make([]byte, 1000))
		greeted <- true
		c.conn.Read(make([]byte, 1))
	})
	c := a.client(Options{})
	failed := make(chan error, 1)
	go func() {
		_, err := sign(c, context.Background(), "x")
		failed <- err
	}()
	<-greeted
	c.Close()
	if err := <-failed; !errors.Is(fails(t, err, CodeRetry), net.ErrClosed) {
		t.Error(err)
	}
}

func TestManyAtOnceInAnyOrder(t *testing.T) {
	a := newScripted(t, object{"requests_per_connection": 16}, func(n int, c *peer) {
		var held []asked
		for r, ok := c.next(); ok; r, ok = c.next() {
			if held = append(held, r); len(held) == 10 {
				for i := range held {
					c.signs(held[len(held)-1-i])
				}
				held = nil
			}
		}
	})
	c := a.client(Options{})
	var all sync.WaitGroup
	for i := 0; i < 200; i++ {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			body := fmt.Sprint("b", i)
			if s, err := sign(c, context.Background(), body); err != nil || s.Headers.Get("Signature") != "s"+body {
				t.Errorf("%s: %v, %v", body, s, err)
			}
		}(i)
	}
	all.Wait()
	if a.connections() != 1 {
		t.Errorf("%d connections", a.connections())
	}
}

func TestConnectionsThatAreReplaced(t *testing.T) {
	ended := make(chan int, 2)
	a := newScripted(t, nil, func(n int, c *peer) {
		for r, ok := c.next(); ok; r, ok = c.next() {
			if string(r.params["body"].([]byte)) == "drain" {
				c.event("draining", object{})
			}
			c.signs(r)
		}
		ended <- n // the client has closed it
	})
	c := a.client(Options{})
	signsWell(t, c, "drain")
	signsWell(t, c, "second")
	if n := <-ended; n != 0 {
		t.Errorf("connection %d ended", n)
	}
	c.current.mu.Lock()
	c.current.nextID = idsWorn // 2 G calls later
	c.current.mu.Unlock()
	signsWell(t, c, "third")
	if n := <-ended; n != 1 || a.connections() != 3 {
		t.Errorf("connection %d of %d ended", n, a.connections())
	}
}

func TestALargeRequestToAnAgentThatDoesNotRead(t *testing.T) {
	release := make(chan bool)
	a := newScripted(t, nil, func(n int, c *peer) {
		if n == 0 { // takes hello and nothing more
			c.dec = nil
			head := make([]byte, 4)
			c.conn.Read(head)
			c.conn.Read(make([]byte, head[3]))
			c.result(0, object{})
			<-release
			return
		}
		obliging(n, c)
	})
	t.Cleanup(func() { close(release) })
	c := a.client(Options{})
	begin := time.Now()
	_, err := sign(c, within(t, 100*time.Millisecond), strings.Repeat("x", 1<<20))
	if fails(t, err, CodeTimeout); time.Since(begin) > 5*time.Second {
		t.Error("it hung")
	}
	signsWell(t, c, "then") // on another connection
	if a.connections() != 2 {
		t.Errorf("%d connections", a.connections())
	}
}

// TestAFullQueueOfTheListener: the kernel answers EAGAIN, where a blocking connect would wait.
func TestAFullQueueOfTheListener(t *testing.T) {
	folder, err := os.MkdirTemp("", "antag-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "full.sock")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for { // fill it
		conn, err := net.Dial("unix", path)
		if errors.Is(err, syscall.EAGAIN) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	begin := time.Now()
	_, err = dialUnix(within(t, 50*time.Millisecond), path)
	if fails(t, err, CodeTimeout); time.Since(begin) < 50*time.Millisecond {
		t.Error("it did not wait")
	}
	dialed := make(chan error, 1)
	go func() {
		conn, err := dialUnix(within(t, 20*time.Second), path)
		if err == nil {
			conn.Close()
		}
		dialed <- err
	}()
	taken, _, err := syscall.Accept(fd)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(taken)
	if err := <-dialed; err != nil {
		t.Error(err)
	}
}

func TestWatch(t *testing.T) {
	a := newScripted(t, nil, func(n int, c *peer) {
		r, ok := c.next()
		if !ok {
			return
		}
		c.event("draining", object{}) // even before the answer
		c.result(r.id, object{"epoch": 3, "state": "ready"})
		c.event("profile", object{"profile": "a/live", "sign": "ready", "version": 2, "key_version": 5, "more": "m"})
		c.event("new", object{})
		c.event("epoch", object{"epoch": "no"})
		for i := 0; i < 100; i++ {
			c.event("epoch", object{"epoch": i})
		}
		c.event("state", object{"state": "failed", "reason": "w"})
		if _, more := c.next(); more {
			t.Error("a watch asks more")
		}
	})
	c, ctx := a.client(Options{Timeout: time.Second}), context.Background()
	w, err := c.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := []Event{{Name: "epoch", Epoch: 3}, {Name: "draining"}, {Name: "profile", Profile: "a/live", Sign: "ready", Version: 2, KeyVersion: 5}}
	for i := int64(0); i < 100; i++ {
		want = append(want, Event{Name: "epoch", Epoch: i})
	}
	want = append(want, Event{Name: "state", State: "failed", Reason: "w"})
	for i, e := range want {
		got, err := w.Next(ctx)
		if i == 2 && got.Params["more"] != "m" {
			t.Error("what a later version adds is missing")
		}
		got.Params = nil
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Fatalf("%d: %+v, %v", i, got, err)
		}
	}
	_, err = w.Next(within(t, 10*time.Millisecond))
	fails(t, err, CodeTimeout)
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	for i := 0; i < 2; i++ {
		_, err = w.Next(ctx)
		if fails(t, err, CodeRetry); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	}
}

func TestAWatchThatNobodyReads(t *testing.T) {
	a := newScripted(t, nil, func(n int, c *peer) {
		r, _ := c.next()
		c.result(r.id, object{"epoch": 1})
		for i := 0; i < 1000; i++ {
			c.event("epoch", object{"epoch": i})
		}
	})
	c, ctx := a.client(Options{}), within(t, 20*time.Second)
	w, err := c.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for len(w.link.events) < eventsAhead {
		time.Sleep(time.Millisecond)
	}
	w.Close()
	stacks := make([]byte, 1<<20)
	for bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("(*link).read(")) { // nobody takes events, and it ends all the same
		if !sleep(ctx, time.Millisecond) {
			t.Fatal("it reads on")
		}
	}
	for err == nil {
		_, err = w.Next(ctx)
	}
	fails(t, err, CodeRetry)
}

func TestTheEndOfAWatch(t *testing.T) {
	a := newScripted(t, nil, func(n int, c *peer) {
		r, _ := c.next()
		switch n {
		case 0:
			c.result(r.id, object{"epoch": 1})
		case 1:
			c.result(r.id, object{"epoch": 1})
			c.refuse(nil, CodeBusy, "retry", nil)
		case 2:
			c.result(r.id, object{"epoch": true})
		case 3:
			c.refuse(r.id, CodeLocked, "state", nil)
		}
	})
	c, ctx := a.client(Options{}), context.Background()
	for _, code := range []int{CodeRetry, CodeBusy, CodeBadFrame, CodeLocked} {
		w, err := c.Watch(ctx)
		if err == nil {
			if e, err := w.Next(ctx); err != nil || e.Epoch != 1 {
				t.Fatalf("%v, %v", e, err)
			}
			_, err = w.Next(ctx)
			fails(t, err, code)
			continue
		}
		fails(t, err, code)
	}
	kept := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.links)
	}
	for soon := within(t, 20*time.Second); kept() > 0; { // the last may still be on its way out
		if !sleep(soon, time.Millisecond) {
			t.Fatalf("%d connections are kept", kept())
		}
	}
}
