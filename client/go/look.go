package antomagent

import (
	"context"
	"net/http"
	"time"
)

// Kinds of an ExplainRequest.
const (
	KindSign         = "sign"
	KindResponse     = "response"
	KindNotification = "notification"
)

// ExplainRequest names what is to be explained; the other fields are those of SignRequest and Message.
type ExplainRequest struct {
	Kind     string
	Profile  string
	Method   string
	URI      string
	Body     []byte
	Time     string        // KindSign only
	Merchant string        // KindSign only
	Headers  http.Header   // the other kinds only: give all that came
	MaxAge   time.Duration // the other kinds only
	Trace    string
}

// Explanation is for people who look for a fault. It proves nothing.
type Explanation struct {
	Kind       string
	Verdict    string // the name of the status that the call itself would get: OK, or an error's
	Code       int    // its number
	Message    string // its sentence, when it is not OK
	StringHead string // the string to sign up to its body; "" when there is none
	BodyBytes  int64  // so many bytes of the body follow it
	Digest     string // SHA-256 of both, in hex
	Findings   []Finding
}

// Finding is a mistake that explains a refusal.
type Finding struct {
	Cause   string // a word of PROTOCOL.md, explain; later versions add some
	Message string
	Which   string // the key or the header it is about; may be ""
	Remedy  string
}

// Explain tells what is signed, and which mistake explains a refusal. It needs a grant of its own and is limited in rate.
func (c *Client) Explain(ctx context.Context, r ExplainRequest) (*Explanation, error) {
	params := about(r.Profile, r.Method, r.URI, r.Body, r.Trace)
	params["kind"] = r.Kind
	addText(params, "time", r.Time)
	addText(params, "merchant", r.Merchant)
	if r.Headers != nil {
		params["headers"] = headersOf(r.Headers)
	}
	if err := addAge(params, r.MaxAge); err != nil {
		return nil, err
	}
	result, err := c.Call(ctx, "explain", params)
	if err != nil {
		return nil, err
	}
	return explanationOf(result)
}

func explanationOf(result interface{}) (*Explanation, error) {
	f := fieldsOf(result)
	e := &Explanation{Kind: f.text("kind"), Verdict: f.text("verdict"), Code: int(f.integer("code")), Message: f.maybe("message"),
		StringHead: f.maybe("string_head"), Digest: f.maybe("digest")}
	e.BodyBytes, _ = f.m["body_bytes"].(int64)
	findings, ok := f.m["findings"].([]interface{})
	f.need("findings", ok)
	for _, one := range findings {
		g := fieldsOf(one)
		e.Findings = append(e.Findings, Finding{g.text("cause"), g.maybe("message"), g.maybe("which"), g.maybe("remedy")})
		f.need("the cause of a finding", g.missing == "")
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	return e, nil
}

// Health is the state of the agent, and of the profiles that this caller may use.
type Health struct {
	State     string // ready, locked, starting or failed
	Reason    string // why it is not ready
	Profiles  []ProfileHealth
	Truncated bool // there are more profiles than are listed
}

// ProfileHealth: Sign and Verify are "ready", or the name of the error that such a request would get; the others say why.
type ProfileHealth struct {
	Profile, Sign, SignWhy, Verify, VerifyWhy string
}

// Health answers in every state of the agent.
func (c *Client) Health(ctx context.Context) (*Health, error) {
	result, err := c.Call(ctx, "health", nil)
	if err != nil {
		return nil, err
	}
	f := fieldsOf(result)
	h := &Health{State: f.text("state"), Reason: f.maybe("reason")}
	h.Truncated, _ = f.m["truncated"].(bool)
	profiles, _ := f.m["profiles"].([]interface{})
	for _, one := range profiles {
		p := fieldsOf(one)
		h.Profiles = append(h.Profiles, ProfileHealth{p.text("profile"), p.text("sign"), p.maybe("sign_why"), p.text("verify"),
			p.maybe("verify_why")})
		f.need("the "+p.missing+" of a profile", p.missing == "")
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	return h, nil
}
