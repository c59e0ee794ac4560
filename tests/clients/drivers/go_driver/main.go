// Driver of the Go client. Protocol: tests/clients/README.md.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"antomagent"
)

type object = map[string]interface{}

type command struct {
	Op         string
	Socket     string
	TimeoutMS  int64 `json:"timeout_ms"`
	Profile    string
	Method     string
	URI        string
	Headers    map[string]interface{}
	Body       string
	Time       string
	Merchant   string
	Trace      string
	MaxAgeMS   *int64 `json:"max_age_ms"`
	DeadlineMS int64  `json:"deadline_ms"`
	Count      int
	Calls      []command
}

type driver struct {
	agent *antomagent.Client
	out   *json.Encoder
}

func main() {
	d := &driver{out: json.NewEncoder(os.Stdout)}
	d.out.SetEscapeHTML(false)
	in := json.NewDecoder(bufio.NewReaderSize(os.Stdin, 1<<20))
	for {
		var c command
		err := in.Decode(&c)
		if errors.Is(err, io.EOF) {
			break
		}
		check(err)
		check(d.out.Encode(d.answer(c)))
	}
	if d.agent != nil {
		check(d.agent.Close())
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (d *driver) answer(c command) object {
	switch c.Op {
	case "open":
		agent, err := antomagent.New(antomagent.Options{Path: c.Socket, Timeout: time.Duration(c.TimeoutMS) * time.Millisecond,
			Name: "driver 1"})
		d.agent = agent
		return told(object{}, err)
	case "many":
		return object{"ok": d.many(c.Calls)}
	case "watch":
		return told(object{}, d.watch(c.Count))
	}
	return told(d.result(c))
}

func (d *driver) many(calls []command) []object {
	answers := make([]object, len(calls))
	var all sync.WaitGroup
	for i := range calls {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			answers[i] = told(d.result(calls[i]))
		}(i)
	}
	all.Wait()
	return answers
}

func (d *driver) watch(count int) error {
	ctx := context.Background()
	w, err := d.agent.Watch(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	for ; count > 0; count-- {
		event, err := w.Next(ctx)
		if err != nil {
			return err
		}
		check(d.out.Encode(object{"event": event.Name, "params": event.Params}))
	}
	return nil
}

func (d *driver) result(c command) (object, error) {
	ctx := context.Background()
	if c.DeadlineMS > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(c.DeadlineMS)*time.Millisecond)
		defer cancel()
	}
	body, err := base64.StdEncoding.DecodeString(c.Body)
	check(err)
	switch c.Op {
	case "sign":
		return d.sign(ctx, c, body)
	case "verify_response":
		return verified(d.agent.VerifyResponse(ctx, message(c, body)))
	case "verify_notification":
		return verified(d.agent.VerifyNotification(ctx, message(c, body)))
	case "health":
		h, err := d.agent.Health(ctx)
		if err != nil {
			return nil, err
		}
		return object{"state": h.State}, nil
	}
	check(fmt.Errorf("no such op: %s", c.Op))
	return nil, nil
}

func (d *driver) sign(ctx context.Context, c command, body []byte) (object, error) {
	s, err := d.agent.SignRequest(ctx, antomagent.SignRequest{Profile: c.Profile, Method: c.Method, URI: c.URI, Body: body,
		Time: c.Time, Merchant: c.Merchant, Trace: c.Trace})
	if err != nil {
		return nil, err
	}
	headers := object{}
	for name, values := range s.Headers {
		headers[name] = values[0]
	}
	return object{"headers": headers, "uri": s.URI, "url": orNil(s.URL), "version": s.Version, "key_version": s.KeyVersion,
		"record": s.Record}, nil
}

func message(c command, body []byte) antomagent.Message {
	m := antomagent.Message{Profile: c.Profile, Method: c.Method, URI: c.URI, Headers: http.Header{}, Body: body, Trace: c.Trace}
	for name, value := range c.Headers {
		switch v := value.(type) {
		case string:
			m.Headers[name] = []string{v}
		case []interface{}:
			for _, one := range v {
				m.Headers[name] = append(m.Headers[name], one.(string))
			}
		}
	}
	if c.MaxAgeMS != nil {
		m.MaxAge = time.Duration(*c.MaxAgeMS) * time.Millisecond
		if *c.MaxAgeMS == 0 {
			m.MaxAge = antomagent.AnyAge
		}
	}
	return m
}

func verified(v *antomagent.Verified, err error) (object, error) {
	if err != nil {
		return nil, err
	}
	return object{"version": v.Version, "time": v.Time, "age_ms": v.Age.Milliseconds()}, nil
}

func told(result object, err error) object {
	if err == nil {
		return object{"ok": result}
	}
	var e *antomagent.Error
	if !errors.As(err, &e) {
		check(fmt.Errorf("an error of another type: %w", err))
	}
	failed := object{"code": e.Code, "name": e.Name, "class": e.Class, "message": e.Message, "field": orNil(e.Field), "retry_after_ms": nil}
	if e.RetryAfter > 0 {
		failed["retry_after_ms"] = e.RetryAfter.Milliseconds()
	}
	return object{"error": failed}
}

func orNil(text string) interface{} {
	if text == "" {
		return nil
	}
	return text
}
