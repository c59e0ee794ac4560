package antomagent

import (
	"context"
	"net/http"
	"time"
)

// AnyAge as MaxAge takes messages of any age.
const AnyAge time.Duration = -1

// SignRequest names what is to be signed.
type SignRequest struct {
	Profile  string // APP/sandbox or APP/live
	Method   string // the HTTP method: POST
	URI      string // path and query, as on the request line
	Body     []byte // exactly the bytes that will be sent; nil: an empty body
	Time     string // what shall stand in Request-Time; "": the agent's clock
	Merchant string // for ISVs: the merchant whose authorization token goes along; "": none
	Trace    string // goes into the agent's log, to find this call again; no secret
}

// Signed is a signed request. Send all Headers and the body unchanged, to URL, or to URI of the gateway you use.
type Signed struct {
	Headers    http.Header // one value for each name
	URI        string      // the one that is signed; it may differ from the one you gave (sandbox paths)
	URL        string      // the profile's gateway and URI; "" while the profile has none
	Version    int         // of the merchant key, as staff counts them
	KeyVersion int         // that stands in the Signature header
	Record     string      // the line of the agent's record that says who had this signed; keep it beside the payment
}

// Message is a response or a notification to verify.
type Message struct {
	Profile string
	Method  string        // of a response: of its request; of a notification: POST
	URI     string        // of a response: path and query of its request; of a notification: the raw request target (http.Request.RequestURI)
	Headers http.Header   // as they came; nil: none
	Body    []byte        // as it came, before any parsing; nil: empty
	MaxAge  time.Duration // 0: the profile's setting; AnyAge: any; else the oldest taken, in whole milliseconds, rounded up
	Trace   string        // as in SignRequest
}

// Verified is the proof that a message is Antom's.
type Verified struct {
	Version int           // of the Antom key, as staff counts them
	Time    string        // as the message's header has it
	Age     time.Duration // by the agent's clock, in milliseconds, at most 292 years; negative when the time lies a little ahead
}

// SignRequest has a request signed. Errors: see PROTOCOL.md, sign_request. Of class "retry": nothing is sent to Antom here, so it
// may be called again.
func (c *Client) SignRequest(ctx context.Context, r SignRequest) (*Signed, error) {
	params := about(r.Profile, r.Method, r.URI, r.Body, r.Trace)
	addText(params, "time", r.Time)
	addText(params, "merchant", r.Merchant)
	result, err := c.Call(ctx, "sign_request", params)
	if err != nil {
		return nil, err
	}
	return signedOf(result)
}

// VerifyResponse proves that a response is Antom's. Without an error it is; every error, whatever its class, says that it is not
// proven.
func (c *Client) VerifyResponse(ctx context.Context, m Message) (*Verified, error) {
	return c.verify(ctx, "verify_response", m)
}

// VerifyNotification proves that a notification is Antom's. Without an error it is; every error, whatever its class, says that it
// is not proven. Antom repeats notifications: expect each twice.
func (c *Client) VerifyNotification(ctx context.Context, m Message) (*Verified, error) {
	return c.verify(ctx, "verify_notification", m)
}

func (c *Client) verify(ctx context.Context, method string, m Message) (*Verified, error) {
	params := about(m.Profile, m.Method, m.URI, m.Body, m.Trace)
	params["headers"] = headersOf(m.Headers)
	if err := addAge(params, m.MaxAge); err != nil {
		return nil, err
	}
	result, err := c.Call(ctx, method, params)
	if err != nil {
		return nil, err
	}
	return verifiedOf(result)
}

func about(profile, method, uri string, body []byte, trace string) map[string]interface{} {
	if body == nil {
		body = []byte{} // nil would count as not given
	}
	params := map[string]interface{}{"profile": profile, "method": method, "uri": uri, "body": body}
	addText(params, "trace", trace)
	return params
}

func addText(params map[string]interface{}, name, value string) {
	if value != "" {
		params[name] = value
	}
}

func addAge(params map[string]interface{}, most time.Duration) error {
	switch {
	case most == AnyAge:
		params["max_age_ms"] = int64(0)
	case most < 0:
		return badParam("max_age_ms", "a MaxAge is not negative, or AnyAge")
	case most > 0: // rounded up, as 0 would be any age
		params["max_age_ms"] = int64((most-1)/time.Millisecond) + 1
	}
	return nil
}

// headersOf leaves names and repeated values as they are: what stands there twice is for the agent to judge.
func headersOf(h http.Header) map[string]interface{} {
	out := make(map[string]interface{}, len(h))
	for name, values := range h {
		if len(values) == 1 {
			out[name] = values[0]
		} else {
			out[name] = values
		}
	}
	return out
}

// fields reads what a result must have, and remembers the first key that it has not.
type fields struct {
	m       map[string]interface{}
	missing string
}

func fieldsOf(v interface{}) *fields {
	m, _ := v.(map[string]interface{})
	return &fields{m: m}
}

func (f *fields) err() error {
	if f.missing == "" {
		return nil
	}
	return badAnswer("a result without " + f.missing)
}

func (f *fields) need(name string, ok bool) {
	if !ok && f.missing == "" {
		f.missing = name
	}
}

func (f *fields) text(name string) string {
	s, ok := f.m[name].(string)
	f.need(name, ok)
	return s
}

func (f *fields) integer(name string) int64 {
	n, ok := f.m[name].(int64)
	f.need(name, ok)
	return n
}

// maybe is text that need not be there.
func (f *fields) maybe(name string) string {
	s, _ := f.m[name].(string)
	return s
}

func signedOf(result interface{}) (*Signed, error) {
	f := fieldsOf(result)
	s := &Signed{Headers: f.headers(), URI: f.text("uri"), URL: f.maybe("url"), Version: int(f.integer("version")),
		KeyVersion: int(f.integer("key_version")), Record: f.text("record")}
	if err := f.err(); err != nil {
		return nil, err
	}
	return s, nil
}

func (f *fields) headers() http.Header {
	given, ok := f.m["headers"].(map[string]interface{})
	f.need("headers", ok)
	out := make(http.Header, len(given))
	for name, value := range given {
		s, ok := value.(string)
		f.need("the text of header "+name, ok)
		out[name] = []string{s}
	}
	for _, name := range []string{"Client-Id", "Request-Time", "Signature", "Content-Type"} {
		f.need("the header "+name, len(out[name]) == 1 && out[name][0] != "")
	}
	return out
}

func verifiedOf(result interface{}) (*Verified, error) {
	f := fieldsOf(result)
	v := &Verified{Version: int(f.integer("version")), Time: f.text("time"), Age: milliseconds(f.integer("age_ms"))}
	if err := f.err(); err != nil {
		return nil, err
	}
	return v, nil
}
