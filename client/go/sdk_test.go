package antomagent

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// quiet: refused TLS handshakes are what a test is about.
var quiet = log.New(io.Discard, "", 0)

func TestGatewayServesTheSDK(t *testing.T) {
	a := newAntom(t)
	_, sdk, _ := a.gateway()
	for _, body := range [][]byte{[]byte(`{"a":"é"}` + "\r\n"), {}, {0, 255}, bytes.Repeat([]byte("x"), gatewayBodyMax-len("seen "))} {
		got, response, err := sdk.execute(t, testPath, body)
		if err != nil || string(got) != "seen "+string(body) || response.Header.Get("X-Other") != "kept" {
			t.Errorf("%d bytes: %.20q, %v", len(body), got, err)
		}
	}
	if got, _, err := sdk.execute(t, "/ams/api//v1/payments/retrievePaymentSession", []byte("d")); err != nil || string(got) != "seen d" {
		t.Errorf("double slash: %q, %v", got, err)
	}
	sent, asked, verified := a.counts()
	if sent != 5 || asked != 10 || verified != 5 {
		t.Errorf("%d sent, %d asked, %d verified", sent, asked, verified)
	}
	for _, r := range a.requests {
		if h := r.Header; h.Get("Key-Version") != "" || len(h.Values("Signature")) != 1 || !strings.Contains(h.Get("Signature"), "keyVersion=7") ||
			h.Get("SDK-VERSION") != "1.3.5" || h.Get("Accept-Encoding") != "" || len(h.Values("Agent-Token")) != 0 {
			t.Errorf("headers at Antom: %v", h)
		}
	}
}

func TestGatewayServesManyAtOnce(t *testing.T) {
	a := newAntom(t)
	_, sdk, _ := a.gateway()
	var all sync.WaitGroup
	for i := 0; i < 30; i++ {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			body := strconv.Itoa(i)
			if got, _, err := sdk.execute(t, testPath, []byte(body)); err != nil || string(got) != "seen "+body {
				t.Errorf("%s: %q, %v", body, got, err)
			}
		}(i)
	}
	all.Wait()
}

// TestGatewayHoldsUnprovenResponsesBack: not a byte of them reaches the SDK.
func TestGatewayHoldsUnprovenResponsesBack(t *testing.T) {
	a := newAntom(t)
	_, sdk, failures := a.gateway()
	without := func(name string) func(a *antom, w http.ResponseWriter, r *http.Request) {
		return func(a *antom, w http.ResponseWriter, r *http.Request) {
			a.say(stripped{w, name}, r, []byte("secret"))
		}
	}
	for name, row := range map[string]struct {
		respond func(a *antom, w http.ResponseWriter, r *http.Request)
		code    int // of the agent; 0: it is not asked
	}{
		"unsigned": {func(a *antom, w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(400)
			io.WriteString(w, `{"secret":1,"result":{"resultCode":"KEY_NOT_FOUND","resultStatus":"F"}}`)
		}, CodeUnsigned},
		"unsigned success": {func(a *antom, w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, `{"secret":1,"result":{"resultStatus":"S"}}`)
		}, CodeUnsigned},
		"no signature": {without("Signature"), CodeHalfSigned},
		"no time":      {without("Response-Time"), CodeHalfSigned},
		"no client id": {without("Client-Id"), CodeHalfSigned},
		"of another body": {func(a *antom, w http.ResponseWriter, r *http.Request) {
			a.say(appended{w}, r, []byte("secret"))
		}, CodeSignatureInvalid},
		"of another path": {func(a *antom, w http.ResponseWriter, r *http.Request) {
			r.RequestURI += "2"
			a.say(w, r, []byte("secret"))
		}, CodeSignatureInvalid},
		"of another key": {func(a *antom, w http.ResponseWriter, r *http.Request) {
			(&antom{t: a.t, key: keys[2]}).say(w, r, []byte("secret"))
		}, CodeSignatureInvalid},
		"too large": {func(a *antom, w http.ResponseWriter, r *http.Request) {
			a.say(w, r, append([]byte("secret"), make([]byte, gatewayBodyMax)...))
		}, 0},
		"a redirection": {func(a *antom, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/secret", http.StatusTemporaryRedirect)
		}, CodeUnsigned},
		"cut off": {func(a *antom, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			a.say(w, r, []byte("secret"))
		}, 0},
		"none": {func(a *antom, w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, 0},
	} {
		a.respond = row.respond
		_, before, _ := a.counts()
		r := sdk.request(t, testPath, []byte("x"))
		response, got := sdk.do(t, r)
		if response.StatusCode != http.StatusBadGateway || response.Header.Get("Signature") != "" || response.Header.Get("Response-Time") != "" ||
			bytes.Contains(got, []byte("secret")) || !json.Valid(got) || len(got) > 500 {
			t.Errorf("%s: %v %q", name, response, got)
		}
		failure := <-failures
		if failure.URI != testPath || failure.Status != http.StatusBadGateway {
			t.Errorf("%s: %+v", name, failure)
		}
		if row.code != 0 {
			fails(t, failure, row.code)
		}
		if name == "unsigned" && (failure.ResponseCode != 400 || !bytes.Contains(failure.Response, []byte("KEY_NOT_FOUND"))) {
			t.Errorf("nothing to look for the fault with: %+v", failure)
		}
		if _, after, _ := a.counts(); (after-before == 2) != (row.code != 0) {
			t.Errorf("%s: the agent was asked %d times", name, after-before)
		}
	}
	a.respond = nil
	if _, _, err := sdk.execute(t, testPath, []byte("x")); err != nil {
		t.Error(err)
	}
	if _, _, verified := a.counts(); verified != 1 {
		t.Errorf("%d verified", verified)
	}
}

// stripped leaves out a header.
type stripped struct {
	http.ResponseWriter
	name string
}

func (s stripped) Write(p []byte) (int, error) {
	s.Header().Del(s.name)
	return s.ResponseWriter.Write(p)
}

// appended adds a byte to the body.
type appended struct {
	http.ResponseWriter
}

func (a appended) Write(p []byte) (int, error) {
	return a.ResponseWriter.Write(append(p, ' '))
}

// TestGatewayServesNobodyElse: without the key of this process nothing is signed.
func TestGatewayServesNobodyElse(t *testing.T) {
	a := newAntom(t)
	g, sdk, _ := a.gateway()
	der, err := x509.MarshalPKCS8PrivateKey(keys[2])
	if err != nil {
		t.Fatal(err)
	}
	resigned := func(at, clientID string) func(r *http.Request) {
		return func(r *http.Request) { // by the right key
			r.Header.Set("Request-Time", at)
			r.Header.Set("Client-Id", clientID)
			r.Header.Set("Signature", "signature="+rsaSign(t, sdk.key(t), stringToSign("POST", testPath, clientID, at, []byte("x"))))
		}
	}
	ago := func(d time.Duration) string { return strconv.FormatInt(time.Now().Add(-d).UnixMilli(), 10) }
	for name, row := range map[string]struct {
		key    string
		alter  func(r *http.Request)
		status int
	}{
		"another key":  {base64.StdEncoding.EncodeToString(der), nil, 403},
		"unsigned":     {g.PrivateKey(), func(r *http.Request) { r.Header.Del("Signature") }, 403},
		"no client id": {g.PrivateKey(), func(r *http.Request) { r.Header.Del("Client-Id") }, 403},
		"no time":      {g.PrivateKey(), func(r *http.Request) { r.Header.Del("Request-Time") }, 403},
		"signed twice": {g.PrivateKey(), func(r *http.Request) { r.Header.Add("Signature", r.Header.Get("Signature")) }, 403},
		"nonsense":     {g.PrivateKey(), func(r *http.Request) { r.Header.Set("Signature", "signature=%zz") }, 403},
		"empty":        {g.PrivateKey(), func(r *http.Request) { r.Header.Set("Signature", "signature=") }, 403},
		"another body": {g.PrivateKey(), func(r *http.Request) { setBody(r, []byte("y")) }, 403},
		"a longer one": {g.PrivateKey(), func(r *http.Request) { setBody(r, []byte("x ")) }, 403},
		"another path": {g.PrivateKey(), func(r *http.Request) { r.URL.Path += "2" }, 403},
		"a query":      {g.PrivateKey(), func(r *http.Request) { r.URL.RawQuery = "a=1" }, 403},
		"another verb": {g.PrivateKey(), func(r *http.Request) { r.Method = "PUT" }, 403},
		"another id":   {g.PrivateKey(), func(r *http.Request) { r.Header.Set("Client-Id", "5Y") }, 403},
		"another time": {g.PrivateKey(), func(r *http.Request) { r.Header.Set("Request-Time", ago(time.Second)) }, 403},
		"too old":      {g.PrivateKey(), resigned(ago(6*time.Minute), testClientID), 403},
		"too new":      {g.PrivateKey(), resigned(ago(-6*time.Minute), testClientID), 403},
		"a dot":        {g.PrivateKey(), resigned(ago(0), "a.b"), 403},
		"not ours":     {g.PrivateKey(), resigned(ago(0), "SANDBOX_5X00000000000002"), 400},
		"a token":      {g.PrivateKey(), func(r *http.Request) { r.Header.Set("Agent-Token", "secret") }, 400},
		"too large":    {g.PrivateKey(), func(r *http.Request) { setBody(r, make([]byte, gatewayBodyMax+1)) }, 413},
		"too large, of no length": {g.PrivateKey(), func(r *http.Request) {
			setBody(r, make([]byte, gatewayBodyMax+1))
			r.ContentLength = -1
		}, 413},
	} {
		_, before, _ := a.counts()
		one := *sdk
		one.key(t)
		one.privateKey, one.alter = row.key, row.alter
		response, got := one.do(t, one.request(t, testPath, []byte("x")))
		if response.StatusCode != row.status || response.Header.Get("Signature") != "" || !json.Valid(got) {
			t.Errorf("%s: %v %q", name, response, got)
		}
		if _, after, _ := a.counts(); (after > before) != (name == "not ours") {
			t.Errorf("%s: the agent was asked %d times", name, after-before)
		}
	}
	if sent, _, _ := a.counts(); sent != 0 {
		t.Errorf("%d reached Antom", sent)
	}
	for name, alter := range map[string]func(r *http.Request){"near": resigned(ago(4*time.Minute), testClientID),
		"in nanoseconds": resigned(strconv.FormatInt(time.Now().UnixNano(), 10), testClientID)} {
		one := *sdk
		one.alter = alter
		if _, _, err := one.execute(t, testPath, []byte("x")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func setBody(r *http.Request, body []byte) {
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.GetBody = nil
}

func TestGatewayTellsWhetherAnythingWasSent(t *testing.T) {
	a := newAntom(t)
	_, sdk, failures := a.gateway()
	for name, row := range map[string]struct {
		method       string
		code         int
		class        string
		status, sent int
	}{
		"denied":              {"sign_request", CodeDenied, "denied", 403, 0},
		"locked":              {"sign_request", CodeLocked, "state", 503, 0},
		"a path":              {"sign_request", CodeBadParam, "caller", 400, 0},
		"of itself":           {"sign_request", CodeInternal, "internal", 503, 0},
		"locked before proof": {"verify_response", CodeLocked, "state", 502, 1},
		"denied to verify":    {"verify_response", CodeDenied, "denied", 502, 1},
	} {
		before, _, _ := a.counts()
		a.refuse = func(r asked) (int, string) {
			if r.method == row.method {
				return row.code, row.class
			}
			return 0, ""
		}
		response, got := sdk.do(t, sdk.request(t, testPath, []byte("x")))
		if response.StatusCode != row.status || !json.Valid(got) || bytes.Contains(got, []byte("seen")) {
			t.Errorf("%s: %v %q", name, response, got)
		}
		fails(t, <-failures, row.code)
		if after, _, _ := a.counts(); after-before != row.sent {
			t.Errorf("%s: %d reached Antom", name, after-before)
		}
	}
}

func TestGatewayTrustsNoOtherCertificate(t *testing.T) {
	a := newAntom(t)
	_, sdk, failures := a.gateway(WithRootCAs(x509.NewCertPool()))
	if _, response, err := sdk.execute(t, testPath, []byte("x")); err == nil || response.StatusCode != 502 {
		t.Errorf("%v, %v", response, err)
	}
	if failure := <-failures; !strings.Contains(failure.Error(), "certificate") {
		t.Error(failure)
	}
	if sent, _, _ := a.counts(); sent != 0 {
		t.Errorf("%d reached Antom", sent)
	}
}

func TestGatewayForAMerchant(t *testing.T) {
	a := newAntom(t)
	_, sdk, _ := a.gateway(WithMerchant("m1"))
	if _, _, err := sdk.execute(t, testPath, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if got := a.requests[0].Header.Values("Agent-Token"); len(got) != 1 || got[0] != "token of m1" {
		t.Errorf("%q", got)
	}
}

func TestGatewaySendsWhereTheAgentSays(t *testing.T) {
	a := newAntom(t)
	a.url = a.server.URL
	_, sdk, failures := a.gateway()
	if _, _, err := sdk.execute(t, testPath, []byte("x")); err != nil {
		t.Fatal(err)
	}
	for name, url := range map[string]string{"no TLS": "http" + strings.TrimPrefix(a.server.URL, "https"), "a path before it": a.server.URL + "/x",
		"a user": strings.Replace(a.server.URL, "//", "//u@", 1), "no host": "https://", "nonsense": "https://%zz"} {
		a.url = url
		if _, response, err := sdk.execute(t, testPath, []byte("x")); err == nil || response.StatusCode != 503 {
			t.Errorf("%s: %v, %v", name, response, err)
		}
		<-failures
	}
	a.url = ""
	if _, response, err := sdk.execute(t, testPath, []byte("x")); err == nil || response.StatusCode != 503 {
		t.Errorf("no url: %v, %v", response, err)
	}
	if sent, _, _ := a.counts(); sent != 1 {
		t.Errorf("%d reached Antom", sent)
	}
}

func TestTargets(t *testing.T) {
	for text, ok := range map[string]bool{"https://open-sea-global.alipay.com": true, "https://127.0.0.1:8443/": true,
		"http://open-sea-global.alipay.com": false, "open-sea-global.alipay.com": false, "https://": false, "https://h/path": false,
		"https://u:p@h": false, "https://h?a": false, "https://h?": false, "https://h#a": false, "https://%zz": false} {
		u, err := targetOf(text)
		if (err == nil) != ok {
			t.Errorf("%s: %v, %v", text, u, err)
		}
		if !ok && fails(t, err, CodeBadParam).Field != "target" {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestSignatureHeaders(t *testing.T) {
	for text, want := range map[string]string{
		"algorithm=RSA256,keyVersion=1,signature=%2B%2F8%3D": "\xfb\xff", "algorithm=RSA256, keyVersion=1, signature=%2b%2f8%3d": "\xfb\xff",
		"signature=+/8=": "\xfb\xff", "signature=%2B%2F8%3D,keyVersion=1": "\xfb\xff",
		"": "no", "xsignature=%2B%2F8%3D": "no", "signature=%2": "no", "signature=*": "no", "signature=%252B%252F8%253D": "no", "signature=+/8": "no",
	} {
		got, err := signatureIn(text)
		if (err == nil) != (want != "no") || (err == nil && string(got) != want) {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
}

func TestGatewayEnds(t *testing.T) {
	a := newAntom(t)
	g, sdk, _ := a.gateway()
	if _, _, err := sdk.execute(t, testPath, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := g.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := http.Get(g.URL()); err == nil {
		t.Error("it goes on")
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}

func TestEachGatewayHasAKeyOfItsOwn(t *testing.T) {
	a := newAntom(t)
	one, _, _ := a.gateway()
	two, sdk, _ := a.gateway()
	if one.PrivateKey() == two.PrivateKey() || one.URL() == two.URL() {
		t.Fatal("they are the same")
	}
	sdk.gatewayURL = one.URL()
	if _, response, err := sdk.execute(t, testPath, []byte("x")); err == nil || response.StatusCode != 403 {
		t.Errorf("%v, %v", response, err)
	}
}
