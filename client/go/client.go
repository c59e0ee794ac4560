// Package antomagent is a client of antom-agent: it has requests to Antom signed, and what Antom sends verified, without holding a
// key. Everything that goes wrong is an *Error. A verification that returns without one has proven its message.
//
//	agent, err := antomagent.New(antomagent.Options{})
//	...
//	signed, err := agent.SignRequest(ctx, antomagent.SignRequest{
//		Profile: "shop/live", Method: "POST", URI: "/ams/api/v1/payments/pay", Body: body,
//	})
package antomagent

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"
)

const (
	pathDefault    = "/run/antom-agent/agent.sock"
	timeoutDefault = 10 * time.Second
	nameDefault    = "antomagent-go/0.1.0"
)

// Options of a Client. The zero value is good.
type Options struct {
	Path    string        // of agent.sock; "": $ANTOM_AGENT_SOCKET, else /run/antom-agent/agent.sock
	Timeout time.Duration // of a call whose context has no deadline, its repetition included; 0: 10 seconds
	Name    string        // of your service and its version, for the agent's log
}

// Client makes calls to one agent, all on one connection, from any number of goroutines. Nothing is connected before the first
// call. A connection that is lost, and an error of the agent of class "retry", are repeated once if there is time.
type Client struct {
	path    string
	timeout time.Duration
	name    string
	ctx     context.Context // done when the client is closed; of what no single call waits for
	cancel  context.CancelFunc

	mu      sync.Mutex
	current *link
	dialing *dialing
	links   map[*link]struct{} // that are open; nil: the client is closed
}

// dialing is a connection in the making, for all calls that wait for it.
type dialing struct {
	done chan struct{}
	link *link
	err  error
}

// New makes a client and connects nothing yet. errors: CodeBadParam.
func New(o Options) (*Client, error) {
	c := &Client{path: o.Path, timeout: o.Timeout, name: o.Name, links: make(map[*link]struct{})}
	if c.path == "" {
		c.path = os.Getenv("ANTOM_AGENT_SOCKET")
	}
	if c.path == "" {
		c.path = pathDefault
	}
	if err := pathFault(c.path); err != nil {
		return nil, err
	}
	if c.timeout == 0 {
		c.timeout = timeoutDefault
	}
	if c.timeout < 0 {
		return nil, badParam("timeout", "a timeout is not negative")
	}
	if c.name == "" {
		c.name = nameDefault
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// Close ends the connections, those of watches too. Calls under way, and later ones, fail with CodeRetry, and errors.Is finds
// net.ErrClosed in that. It always returns nil.
func (c *Client) Close() error {
	c.mu.Lock()
	links := c.links
	c.links, c.current = nil, nil
	c.mu.Unlock()
	c.cancel()
	for l := range links {
		l.lose(closed("the client"))
	}
	return nil
}

// Call makes any call of PROTOCOL.md section 7 and returns its result as it came: nil, bool, int64, float64, string, []byte,
// []interface{} and map[string]interface{}. The deadline is added to params, which stay as they are.
//
// A deadline of ctx is the call's, else the client's timeout counts.
func (c *Client) Call(ctx context.Context, method string, params map[string]interface{}) (interface{}, error) {
	ctx, cancel := c.limit(ctx)
	defer cancel()
	result, err := c.try(ctx, method, params)
	pause, again := pauseBefore(err)
	if err == nil || !again {
		return result, err
	}
	if deadline, _ := ctx.Deadline(); time.Until(deadline) <= pause {
		return nil, err
	}
	if !sleep(ctx, pause) {
		return nil, ended(ctx)
	}
	return c.try(ctx, method, params)
}

// limit gives ctx a deadline if it has none.
func (c *Client) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, c.timeout)
}

func (c *Client) try(ctx context.Context, method string, params map[string]interface{}) (interface{}, error) {
	l, err := c.usable(ctx)
	if err != nil {
		return nil, err
	}
	return l.call(ctx, method, params)
}

// usable returns the connection for a next call, a new one if need be. ctx has a deadline.
func (c *Client) usable(ctx context.Context) (*link, error) {
	for {
		l, d := c.pick()
		if l != nil {
			return l, nil
		}
		if d == nil {
			return nil, closed("the client")
		}
		select {
		case <-d.done:
		case <-ctx.Done():
			return nil, ended(ctx)
		}
		if d.err == nil {
			return d.link, nil
		}
		if !errors.Is(d.err, context.DeadlineExceeded) || ctx.Err() != nil {
			return nil, d.err
		}
		// It took the client's timeout; this call has more time.
	}
}

// pick returns a usable connection, or one in the making, or none when the client is closed.
func (c *Client) pick() (*link, *dialing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.links == nil {
		return nil, nil
	}
	if c.current != nil && c.current.isUsable() {
		return c.current, nil
	}
	if c.dialing == nil {
		c.dialing = &dialing{done: make(chan struct{})}
		go c.dial(c.dialing)
	}
	return nil, c.dialing
}

// dial is bound by the client's timeout, and by no call: those that wait for it have deadlines of their own.
func (c *Client) dial(d *dialing) {
	ctx, cancel := context.WithTimeout(c.ctx, c.timeout)
	defer cancel()
	d.link, d.err = c.open(ctx, nil)
	if d.err != nil && c.ctx.Err() != nil {
		d.err = closed("the client")
	}
	c.mu.Lock()
	before := c.current
	c.dialing = nil
	if d.err == nil && c.links != nil {
		c.current = d.link
	}
	c.mu.Unlock()
	if d.err == nil && before != nil {
		before.leave()
	}
	close(d.done)
}

// open connects and greets. errors: UNREACHABLE, TIMEOUT, RETRY, BAD_FRAME, and the agent's.
func (c *Client) open(ctx context.Context, events chan Event) (*link, error) {
	if c.ctx.Err() != nil {
		return nil, closed("the client")
	}
	conn, err := dialUnix(ctx, c.path)
	if err != nil {
		return nil, err
	}
	l := newLink(conn, events, c.forget)
	c.mu.Lock()
	isClosed := c.links == nil
	if !isClosed {
		c.links[l] = struct{}{}
	}
	c.mu.Unlock()
	if isClosed {
		conn.Close()
		return nil, closed("the client")
	}
	l.start()
	if err := l.hello(ctx, c.name); err != nil {
		l.lose(lost("the agent did not greet"))
		return nil, err
	}
	return l, nil
}

func (c *Client) forget(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.links, l)
}
