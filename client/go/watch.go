package antomagent

import (
	"context"
	"sync"
)

// Names of events.
const (
	EventEpoch    = "epoch"    // another state of the registry is in force; the first event of a watch names the one that is
	EventProfile  = "profile"  // a profile signs with another key, or stopped signing, or signs again
	EventState    = "state"    // the agent was locked, unlocked, or failed
	EventLagged   = "lagged"   // events were left out, as they were not read in time: look anew, with Health
	EventDraining = "draining" // the agent is stopping
)

// Event is what changed at the agent. Which fields are set depends on Name.
type Event struct {
	Name       string
	Epoch      int64  // epoch, lagged
	Profile    string // profile
	Sign       string // profile: "ready", or the name of the error that signing gets
	SignWhy    string // profile: a sentence for people; may be ""
	Version    int    // profile, when Sign is "ready": of the merchant key, as staff counts them
	KeyVersion int    // profile, when Sign is "ready": that stands in the Signature header
	State      string // state: ready, locked, starting or failed
	Reason     string // state: why it is not ready; may be ""

	Params map[string]interface{} // all of it as it came, with what later versions add
}

// eventOf: false for an event of a name, or in a form, that this version does not know.
func eventOf(name string, params interface{}) (Event, bool) {
	m, ok := params.(map[string]interface{})
	if !ok {
		return Event{}, false
	}
	f, e := &fields{m: m}, Event{Name: name, Params: m}
	switch name {
	case EventEpoch, EventLagged:
		e.Epoch = f.integer("epoch")
	case EventProfile:
		e.Profile, e.Sign, e.SignWhy = f.text("profile"), f.text("sign"), f.maybe("sign_why")
		if e.Sign == "ready" {
			e.Version, e.KeyVersion = int(f.integer("version")), int(f.integer("key_version"))
		}
	case EventState:
		e.State, e.Reason = f.text("state"), f.maybe("reason")
	case EventDraining:
	default:
		return Event{}, false
	}
	return e, f.missing == ""
}

// Watch is told what changes at the agent, on a connection of its own. Close it.
type Watch struct {
	link  *link
	mu    sync.Mutex
	first *Event // nil once it was told
}

const eventsAhead = 16 // events that are read before somebody takes them

// Watch begins a watch. ctx, or the client's timeout, bounds this call and not the watch. It is not repeated.
func (c *Client) Watch(ctx context.Context) (*Watch, error) {
	ctx, cancel := c.limit(ctx)
	defer cancel()
	l, err := c.open(ctx, make(chan Event, eventsAhead))
	if err != nil {
		return nil, err
	}
	first, err := beginWatch(ctx, l)
	if err != nil {
		l.lose(closed("the watch"))
		return nil, err
	}
	return &Watch{link: l, first: first}, nil
}

func beginWatch(ctx context.Context, l *link) (*Event, error) {
	params, err := withDeadline(ctx, nil)
	if err != nil {
		return nil, err
	}
	result, err := l.send(ctx, "watch", params, 0)
	if err != nil {
		return nil, err
	}
	f := fieldsOf(result)
	epoch := f.integer("epoch")
	if err := f.err(); err != nil {
		return nil, err
	}
	return &Event{Name: EventEpoch, Epoch: epoch, Params: map[string]interface{}{"epoch": epoch}}, nil
}

// Next waits for the next event: first the epoch in force, then what changes, in the order of what happened. It waits as long as
// ctx lets it; no event is lost by an end of ctx. When the connection has ended, and all that came before is told: CodeRetry, or
// what the agent gave as the reason, each time from then on. Begin another watch then, and look anew.
func (w *Watch) Next(ctx context.Context) (Event, error) {
	w.mu.Lock()
	first := w.first
	w.first = nil
	w.mu.Unlock()
	if first != nil {
		return *first, nil
	}
	select {
	case e, ok := <-w.link.events:
		if ok {
			return e, nil
		}
		return Event{}, w.link.reason()
	case <-ctx.Done():
		return Event{}, ended(ctx)
	}
}

// Close ends the watch; a Next that waits returns an error. It always returns nil.
func (w *Watch) Close() error {
	w.link.lose(closed("the watch"))
	return nil
}
