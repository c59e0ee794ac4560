package antomagent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// ours are the headers of a request that the agent makes anew; what the SDK put there does not go to Antom.
var ours = []string{"Signature", "Client-Id", "Request-Time", "Content-Type", "Agent-Token", "Key-Version", "Authorization", "Cookie"}

// hopByHop are headers of one connection.
var hopByHop = []string{"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade", "Content-Length", "Accept-Encoding", "Expect"}

// refusal is a failure with the status that the SDK gets.
type refusal struct {
	status int
	err    error
}

func (r *refusal) Error() string {
	return r.err.Error()
}

func (r *refusal) Unwrap() error {
	return r.err
}

func refuse(status int, format string, args ...interface{}) *refusal {
	return &refusal{status, fmt.Errorf(format, args...)}
}

// answer is what Antom sent.
type answer struct {
	code   int
	header http.Header
	body   []byte
}

func (g *Gateway) handle(w http.ResponseWriter, r *http.Request) {
	got, err := g.exchange(w, r)
	if err != nil {
		g.fail(w, r, got, err)
		return
	}
	header := w.Header()
	for name, values := range withoutHops(got.header) {
		header[name] = values
	}
	header.Set("Content-Length", strconv.Itoa(len(got.body)))
	w.WriteHeader(got.code)
	w.Write(got.body) // the SDK may be gone; nothing more can be told to it
}

// exchange returns a proven answer, or an error, and with that the unproven answer if one came.
func (g *Gateway) exchange(w http.ResponseWriter, r *http.Request) (*answer, error) {
	body, p, err := g.take(w, r)
	if err != nil {
		return nil, err
	}
	signed, err := g.agent.SignRequest(r.Context(), SignRequest{Profile: g.profile, Method: r.Method, URI: r.RequestURI, Body: body,
		Merchant: g.merchant})
	if err != nil {
		return nil, &refusal{statusOf(err), err}
	}
	if signed.Headers.Get("Client-Id") != p.clientID {
		return nil, refuse(http.StatusBadRequest, "the SDK's client id is not the one of %s", g.profile)
	}
	got, err := g.send(r.Context(), r.Method, r.Header, signed, body)
	if err != nil {
		return got, err
	}
	_, err = g.agent.VerifyResponse(r.Context(), Message{Profile: g.profile, Method: r.Method, URI: signed.URI, Headers: got.header,
		Body: got.body})
	return got, err
}

// take reads a request and proves that it is the SDK's.
func (g *Gateway) take(w http.ResponseWriter, r *http.Request) ([]byte, *proof, error) {
	p, err := proofOf(r.Header, time.Now())
	if err != nil {
		return nil, nil, &refusal{http.StatusForbidden, err}
	}
	if r.ContentLength > gatewayBodyMax {
		return nil, nil, refuse(http.StatusRequestEntityTooLarge, "the body has more than %d bytes", gatewayBodyMax)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, gatewayBodyMax))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, nil, refuse(http.StatusRequestEntityTooLarge, "the body has more than %d bytes", gatewayBodyMax)
	}
	if err != nil {
		return nil, nil, refuse(http.StatusBadRequest, "the body did not come: %w", err)
	}
	if err := p.verify(&g.key.PublicKey, r.Method, r.RequestURI, body); err != nil {
		return nil, nil, &refusal{http.StatusForbidden, err}
	}
	if r.Header.Get("Agent-Token") != "" {
		return nil, nil, refuse(http.StatusBadRequest, "the agent holds the authorization tokens: make a gateway WithMerchant")
	}
	return body, p, nil
}

// statusOf tells the SDK's user whether something can have reached Antom: not with these.
func statusOf(err error) int {
	var e *Error
	switch {
	case !errors.As(err, &e):
		return http.StatusServiceUnavailable
	case e.Class == ClassCaller:
		return http.StatusBadRequest
	case e.Class == ClassDenied:
		return http.StatusForbidden
	}
	return http.StatusServiceUnavailable
}

// send is one exchange with Antom. A redirection is not followed: it is a response like others, and has to be proven.
func (g *Gateway) send(ctx context.Context, method string, given http.Header, signed *Signed, body []byte) (*answer, error) {
	to, err := g.whereTo(signed)
	if err != nil {
		return nil, &refusal{http.StatusServiceUnavailable, err}
	}
	ctx, cancel := context.WithTimeout(ctx, gatewaySend)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, to.String(), bytes.NewReader(body))
	if err != nil {
		return nil, &refusal{http.StatusServiceUnavailable, err}
	}
	request.URL = to
	request.Header = withoutHops(given)
	for _, name := range ours {
		request.Header.Del(name)
	}
	for name, values := range signed.Headers {
		request.Header[name] = values
	}
	response, err := g.transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return answerOfResponse(response)
}

func answerOfResponse(response *http.Response) (*answer, error) {
	body, err := io.ReadAll(io.LimitReader(response.Body, gatewayBodyMax+1))
	got := &answer{response.StatusCode, response.Header, body}
	if err != nil {
		return got, fmt.Errorf("the response did not come whole: %w", err)
	}
	if len(body) > gatewayBodyMax {
		return got, fmt.Errorf("the response has more than %d bytes", gatewayBodyMax)
	}
	return got, nil
}

// whereTo makes sure that the request line will have the signed uri, byte for byte.
func (g *Gateway) whereTo(signed *Signed) (*url.URL, error) {
	text := signed.URL
	if g.target != nil {
		text = g.target.String() + signed.URI
	}
	if text == "" {
		return nil, fmt.Errorf("%s has no gateway at the agent; give NewGateway a target", g.profile)
	}
	to, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("the agent's url: %w", err)
	}
	if to.Scheme != "https" || to.Hostname() == "" || to.User != nil || to.RequestURI() != signed.URI {
		return nil, fmt.Errorf("%q cannot be sent to as it was signed", text)
	}
	return to, nil
}

// withoutHops copies headers but for those of one connection.
func withoutHops(h http.Header) http.Header {
	out := h.Clone()
	for _, list := range h.Values("Connection") {
		for _, name := range strings.Split(list, ",") {
			out.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range hopByHop {
		out.Del(name)
	}
	return out
}

// fail answers without a signature, so the SDK takes it for no response of Antom's.
func (g *Gateway) fail(w http.ResponseWriter, r *http.Request, got *answer, err error) {
	failure := &GatewayFailure{URI: r.RequestURI, Status: http.StatusBadGateway, Err: err}
	var refused *refusal
	if errors.As(err, &refused) {
		failure.Status, failure.Err = refused.status, refused.err
	}
	if got != nil {
		failure.Response, failure.ResponseCode = got.body, got.code
	}
	g.failed(failure)
	told := map[string]interface{}{"message": failure.Err.Error()}
	var e *Error
	if errors.As(err, &e) {
		told["code"], told["name"], told["class"], told["message"] = e.Code, e.Name, e.Class, e.Message
	}
	text, err := json.Marshal(map[string]interface{}{"error": told})
	if err != nil {
		panic(err) // texts and numbers can always be written
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(failure.Status)
	w.Write(text) // the SDK may be gone; nothing more can be told to it
}
