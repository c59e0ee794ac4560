package antomagent

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	testClientID = "SANDBOX_5X00000000000001"
	testPath     = "/ams/sandbox/api/v1/payments/pay"
)

// stringToSign is METHOD SP path LF clientid "." time "." body.
func stringToSign(method, path, clientID, at string, body []byte) []byte {
	return append([]byte(method+" "+path+"\n"+clientID+"."+at+"."), body...)
}

func rsaSign(t testing.TB, key *rsa.PrivateKey, text []byte) string {
	digest := sha256.Sum256(text)
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return url.QueryEscape(base64.StdEncoding.EncodeToString(sig))
}

func rsaVerify(key *rsa.PublicKey, text []byte, header string) error {
	_, value, found := strings.Cut(header, "signature=")
	if !found {
		return errors.New("no signature")
	}
	value, err := url.QueryUnescape(value)
	if err != nil {
		return err
	}
	sig, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(text)
	return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], sig)
}

// standIn does what Antom's SDK does with a request, and with its response.
type standIn struct {
	gatewayURL, clientID, privateKey string
	antom                            *rsa.PublicKey
	alter                            func(r *http.Request) // what others do to the request; may be nil
}

// key reads bare base64 of PKCS#8, the one form that the SDK takes everywhere.
func (s *standIn) key(t testing.TB) *rsa.PrivateKey {
	der, err := base64.StdEncoding.Strict().DecodeString(s.privateKey)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	return key.(*rsa.PrivateKey)
}

// request is one as the SDK sends it.
func (s *standIn) request(t testing.TB, path string, body []byte) *http.Request {
	at := strconv.FormatInt(time.Now().UnixMilli(), 10)
	r, err := http.NewRequest("POST", s.gatewayURL+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json; charset=UTF-8", "Request-Time": at, "Client-Id": s.clientID, "Key-Version": "1",
		"Agent-Token": "", "SDK-VERSION": "1.3.5",
		"Signature": "algorithm=RSA256,keyVersion=1,signature=" + rsaSign(t, s.key(t), stringToSign("POST", path, s.clientID, at, body)),
	} {
		r.Header.Add(name, value)
	}
	if s.alter != nil {
		s.alter(r)
	}
	return r
}

// do sends a request with a client of its own, as the SDK does each time.
func (s *standIn) do(t testing.TB, r *http.Request) (*http.Response, []byte) {
	transport := &http.Transport{ResponseHeaderTimeout: 15 * time.Second}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, Timeout: 30 * time.Second}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, body
}

// execute returns a body that is signed by Antom, or an error.
func (s *standIn) execute(t testing.TB, path string, body []byte) ([]byte, *http.Response, error) {
	r := s.request(t, path, body)
	response, got := s.do(t, r)
	text := stringToSign(r.Method, r.URL.Path, response.Header.Get("Client-Id"), response.Header.Get("Response-Time"), got)
	if err := rsaVerify(s.antom, text, response.Header.Get("Signature")); err != nil {
		return nil, response, err
	}
	return got, response, nil
}

// antom is a stand-in for Antom and, by script, for an agent that holds its public key and the merchant's private one.
type antom struct {
	t               *testing.T
	key, merchant   *rsa.PrivateKey
	server          *httptest.Server
	agent           *scripted
	respond         func(a *antom, w http.ResponseWriter, r *http.Request) // nil: as it should
	refuse          func(r asked) (code int, class string)                 // of the agent; nil: nothing
	url             string                                                 // that the agent names
	mu              sync.Mutex
	requests        []*http.Request // that reached Antom
	asked, verified int             // of the agent
}

var (
	keysMade sync.Once
	keys     [3]*rsa.PrivateKey // Antom's, the merchant's, and of somebody else
)

func newAntom(t *testing.T) *antom {
	keysMade.Do(func() {
		for i := range keys {
			var err error
			if keys[i], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
				t.Fatal(err)
			}
		}
	})
	a := &antom{t: t, key: keys[0], merchant: keys[1]}
	a.server = httptest.NewUnstartedServer(http.HandlerFunc(a.serve))
	a.server.Config.ErrorLog = quiet
	a.server.StartTLS()
	t.Cleanup(a.server.Close)
	a.agent = newScripted(t, nil, a.script)
	return a
}

func (a *antom) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the gateway gave up
	}
	a.mu.Lock()
	a.requests = append(a.requests, r)
	a.mu.Unlock()
	text := stringToSign(r.Method, r.RequestURI, r.Header.Get("Client-Id"), r.Header.Get("Request-Time"), body)
	if err := rsaVerify(&a.merchant.PublicKey, text, r.Header.Get("Signature")); err != nil {
		w.WriteHeader(400)
		fmt.Fprintf(w, `{"result":{"resultCode":"INVALID_SIGNATURE","resultStatus":"F"}}`)
		return
	}
	if a.respond != nil {
		a.respond(a, w, r)
		return
	}
	a.say(w, r, append([]byte("seen "), body...))
}

// say is a response as Antom sends it.
func (a *antom) say(w http.ResponseWriter, r *http.Request, body []byte) {
	at := time.Now().Format(time.RFC3339)
	w.Header().Set("client-id", testClientID)
	w.Header().Set("response-time", at)
	w.Header().Set("signature", "algorithm=RSA256, keyVersion=1, signature="+
		rsaSign(a.t, a.key, stringToSign(r.Method, r.RequestURI, testClientID, at, body)))
	w.Header().Set("X-Other", "kept")
	w.Write(body)
}

// script is the agent.
func (a *antom) script(n int, c *peer) {
	for r, ok := c.next(); ok; r, ok = c.next() {
		a.mu.Lock()
		a.asked++
		a.mu.Unlock()
		if a.refuse != nil {
			if code, class := a.refuse(r); code != 0 {
				c.refuse(r.id, code, class, nil)
				continue
			}
		}
		if r.method == "sign_request" {
			a.sign(c, r)
		} else {
			a.verify(c, r)
		}
	}
}

func (a *antom) sign(c *peer, r asked) {
	at := strconv.FormatInt(time.Now().UnixMilli(), 10)
	uri, body := r.params["uri"].(string), r.params["body"].([]byte)
	headers := object{"Client-Id": testClientID, "Request-Time": at, "Content-Type": "application/json; charset=UTF-8",
		"Signature": "algorithm=RSA256,keyVersion=7,signature=" +
			rsaSign(a.t, a.merchant, stringToSign(r.params["method"].(string), uri, testClientID, at, body))}
	if merchant, has := r.params["merchant"]; has {
		headers["Agent-Token"] = "token of " + merchant.(string)
	}
	result := object{"headers": headers, "uri": uri, "version": 1, "key_version": 7, "record": "soft:1"}
	if a.url != "" {
		result["url"] = a.url + uri
	}
	c.result(r.id, result)
}

func (a *antom) verify(c *peer, r asked) {
	header := func(name string) string {
		s, _ := r.params["headers"].(object)[name].(string)
		return s
	}
	id, at, signature := header("Client-Id"), header("Response-Time"), header("Signature")
	switch {
	case signature == "" && at == "":
		c.refuse(r.id, CodeUnsigned, "verify", object{"name": "UNSIGNED"})
		return
	case signature == "" || at == "" || id == "":
		c.refuse(r.id, CodeHalfSigned, "verify", object{"name": "HALF_SIGNED"})
		return
	}
	text := stringToSign(r.params["method"].(string), r.params["uri"].(string), id, at, r.params["body"].([]byte))
	if err := rsaVerify(&a.key.PublicKey, text, signature); err != nil {
		c.refuse(r.id, CodeSignatureInvalid, "verify", object{"name": "SIGNATURE_INVALID"})
		return
	}
	a.mu.Lock()
	a.verified++
	a.mu.Unlock()
	c.result(r.id, object{"version": 1, "time": at, "age_ms": 5})
}

// counts returns how much reached Antom, was asked of the agent, and was verified by it.
func (a *antom) counts() (sent, asked, verified int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.requests), a.asked, a.verified
}

// roots trusts the server's certificate.
func (a *antom) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.server.Certificate())
	return pool
}

// gateway to this Antom, and the SDK before it. Failures go to the channel.
func (a *antom) gateway(options ...GatewayOption) (*Gateway, *standIn, chan *GatewayFailure) {
	failures := make(chan *GatewayFailure, 100)
	options = append([]GatewayOption{WithRootCAs(a.roots()), WithFailures(func(f *GatewayFailure) { failures <- f })}, options...)
	target := a.server.URL
	if a.url != "" {
		target = ""
	}
	g, err := NewGateway(a.agent.client(Options{}), "shop/sandbox", target, options...)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { g.Close() })
	return g, &standIn{gatewayURL: g.URL(), clientID: testClientID, privateKey: g.PrivateKey(), antom: &a.key.PublicKey}, failures
}
