package antomagent

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	perRequest    = 4096           // bytes that a request may have beside its body
	deadlineMSMax = 86400000       // the most that the agent takes
	idsWorn       = idMax - 0xffff // from here on another connection takes what comes next
	outAtOnce     = 64             // frames written by one call of the system
)

// reply is the end of a call.
type reply struct {
	result interface{}
	err    error
}

// pending is a call that has no answer yet. An abandoned one stays, and keeps its room, as the agent still works on it.
type pending struct {
	reply chan reply // takes one without waiting
	room  int64      // bytes of room it holds; 0: none
}

// link is one connection with any number of calls under way. Once it is lost it stays so, and whoever waits is told.
type link struct {
	conn   net.Conn
	events chan Event // of a watch, closed behind the last one; else nil
	out    chan []byte
	gone   chan struct{} // closed when it is lost
	onLost func(*link)
	room   room
	came   atomic.Int64 // how often something was read
	max    atomic.Int64 // bytes of a frame's value

	mu       sync.Mutex
	waiting  map[int64]*pending
	nextID   int64
	draining bool
	leaving  bool   // another took its place: it ends when nothing is under way
	said     *Error // the agent's reason to end the connection
	lost     *Error // why it was lost; nil: it is open
}

// newLink takes conn. It does nothing before start.
func newLink(conn net.Conn, events chan Event, onLost func(*link)) *link {
	l := &link{conn: conn, events: events, onLost: onLost, out: make(chan []byte, outAtOnce), gone: make(chan struct{}),
		waiting: make(map[int64]*pending)}
	l.room.limit(requestsMax, bytesMax)
	l.max.Store(frameMax)
	return l
}

func (l *link) start() {
	go l.read()
	go l.write()
}

// lose ends the connection; the first reason stays.
func (l *link) lose(why *Error) {
	l.mu.Lock()
	if l.lost != nil {
		l.mu.Unlock()
		return
	}
	l.lost = why
	waiting := l.waiting
	l.waiting = nil
	close(l.gone)
	l.mu.Unlock()
	l.conn.Close() // nothing unsent matters, and no error of it either
	for _, p := range waiting {
		p.reply <- reply{err: why}
	}
	l.onLost(l)
}

// reason is why the connection was lost.
func (l *link) reason() *Error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// isUsable tells whether a next call may go here.
func (l *link) isUsable() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost == nil && !l.draining && l.nextID < idsWorn
}

// leave ends the connection as soon as nothing is under way on it.
func (l *link) leave() {
	l.mu.Lock()
	l.leaving = true
	idle := len(l.waiting) == 0
	l.mu.Unlock()
	if idle {
		l.lose(lost("another connection took the place of this one"))
	}
}

// counted counts reads, so that a silent agent can be told from a slow one.
type counted struct {
	from  io.Reader
	times *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	if n > 0 {
		c.times.Add(1)
	}
	return n, err
}

func (l *link) read() {
	l.lose(l.readAll())
	if l.events != nil {
		close(l.events)
	}
}

// readAll reads until the connection ends, and returns why.
func (l *link) readAll() *Error {
	in := newDecoder(counted{l.conn, &l.came})
	for {
		m, err := in.next(l.max.Load())
		var bad *Error
		if errors.As(err, &bad) {
			return bad
		}
		if err != nil {
			return l.ended()
		}
		switch {
		case m.isEvent:
			l.takeEvent(m)
		case !m.hasID:
			l.mu.Lock()
			l.said = m.failed
			l.mu.Unlock()
		default:
			l.takeAnswer(m)
		}
	}
}

func (l *link) ended() *Error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.said != nil {
		return l.said
	}
	return lost("the agent closed the connection")
}

func (l *link) takeEvent(m message) {
	if m.event == "draining" {
		l.mu.Lock()
		l.draining = true
		l.mu.Unlock()
	}
	if l.events == nil {
		return
	}
	if event, ok := eventOf(m.event, m.result); ok {
		select { // who does not take events is told so by the agent (lagged), which notices when nothing is read
		case l.events <- event:
		case <-l.gone:
		}
	}
}

func (l *link) takeAnswer(m message) {
	l.mu.Lock()
	p := l.waiting[m.id]
	delete(l.waiting, m.id)
	left := l.leaving && len(l.waiting) == 0
	l.mu.Unlock()
	if p == nil {
		return
	}
	if p.room > 0 {
		l.room.leave(p.room)
	}
	if m.failed != nil {
		p.reply <- reply{err: m.failed}
	} else {
		p.reply <- reply{result: m.result}
	}
	if left {
		l.lose(lost("another connection took the place of this one"))
	}
}

func (l *link) write() {
	for {
		select {
		case first := <-l.out:
			frames := l.gather(first)
			_, err := frames.WriteTo(l.conn)
			if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
				return // the agent may have said why: what can be read is read, and ends the connection
			}
			if err != nil {
				l.lose(lost("the connection failed: " + err.Error()))
				return
			}
		case <-l.gone:
			return
		}
	}
}

// gather takes along what else waits to be written.
func (l *link) gather(first []byte) net.Buffers {
	frames := net.Buffers{first}
	for len(frames) < outAtOnce {
		select {
		case next := <-l.out:
			frames = append(frames, next)
		default:
			return frames
		}
	}
	return frames
}

// call sends a request as soon as the agent has room for it, and waits for its answer. ctx has a deadline.
// errors: the agent's; TIMEOUT; RETRY and BAD_FRAME, and then the connection is lost; BAD_PARAM for what cannot be sent.
func (l *link) call(ctx context.Context, method string, params map[string]interface{}) (interface{}, error) {
	size, came := bodySize(params)+perRequest, l.came.Load()
	if !l.room.enter(ctx, l.gone, size) {
		if why := l.reason(); why != nil {
			return nil, why
		}
		return nil, l.abandoned(ctx, came)
	}
	timed, err := withDeadline(ctx, params)
	if err != nil {
		l.room.leave(size)
		return nil, err
	}
	return l.send(ctx, method, timed, size)
}

func bodySize(params map[string]interface{}) int64 {
	switch body := params["body"].(type) {
	case []byte:
		return int64(len(body))
	case string:
		return int64(len(body))
	}
	return 0
}

// withDeadline is a copy of params that also says how much time is left.
func withDeadline(ctx context.Context, params map[string]interface{}) (map[string]interface{}, error) {
	if ctx.Err() != nil {
		return nil, ended(ctx)
	}
	deadline, _ := ctx.Deadline()
	left := time.Until(deadline).Milliseconds()
	if left < 1 {
		return nil, late()
	}
	if left > deadlineMSMax {
		left = deadlineMSMax
	}
	timed := make(map[string]interface{}, len(params)+1)
	for name, value := range params {
		timed[name] = value
	}
	timed["deadline_ms"] = left
	return timed, nil
}

// send is call without waiting for room; it takes over the room that the caller has for it.
func (l *link) send(ctx context.Context, method string, params map[string]interface{}, held int64) (interface{}, error) {
	id, p := l.newID(), &pending{reply: make(chan reply, 1), room: held}
	data, err := encodeRequest(id, method, params, l.max.Load())
	if err == nil {
		err = l.expect(id, p)
	}
	if err != nil {
		if held > 0 {
			l.room.leave(held)
		}
		return nil, err
	}
	came := l.came.Load()
	select {
	case l.out <- data:
	case r := <-p.reply:
		return r.result, r.err
	case <-ctx.Done():
		l.forget(id)
		return nil, l.abandoned(ctx, came)
	}
	select {
	case r := <-p.reply:
		return r.result, r.err
	case <-ctx.Done():
		return nil, l.abandoned(ctx, came)
	}
}

func (l *link) newID() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := l.nextID
	l.nextID++
	return id
}

func (l *link) expect(id int64, p *pending) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost != nil {
		return l.lost
	}
	l.waiting[id] = p
	return nil
}

// forget is for a call that was never sent, and so is never answered.
func (l *link) forget(id int64) {
	l.mu.Lock()
	p := l.waiting[id]
	delete(l.waiting, id)
	left := p != nil && l.leaving && len(l.waiting) == 0
	l.mu.Unlock()
	if p != nil && p.room > 0 {
		l.room.leave(p.room)
	}
	if left {
		l.lose(lost("another connection took the place of this one"))
	}
}

// abandoned ends a wait for the answer. The connection stays if something came on it meanwhile: ids are never used again, so a
// late answer meets nobody. A caller that cancels says nothing about the agent.
func (l *link) abandoned(ctx context.Context, came int64) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && l.came.Load() == came {
		l.lose(lost("the connection was given up, as nothing came on it any more"))
	}
	return ended(ctx)
}
