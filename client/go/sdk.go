package antomagent

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	gatewayBodyMax   = 1 << 20          // bytes, each way
	gatewayHeaderMax = 64 << 10         // bytes, each way
	gatewayRead      = 10 * time.Second // for a request of the SDK to come in whole
	gatewaySend      = 30 * time.Second // for Antom to answer in whole
	gatewaySlack     = 5 * time.Second
	throwawayBits    = 2048
)

// Gateway lets Antom's official Go SDK (package defaultAlipayClient, 1.3) work without a merchant key. That SDK signs by itself and
// has no seam in code, so this one stands where it sends to: on 127.0.0.1, in this process.
//
//	gateway, err := antomagent.NewGateway(agent, "shop/live", "")
//	client := defaultAlipayClient.NewDefaultAlipayClient(gateway.URL(), clientID, gateway.PrivateKey(), antomPublicKey)
//
// A request is taken only if it is signed with PrivateKey, a key that is made for this process, that Antom never sees, and that
// keeps everybody else on this machine from having something signed through the port. The agent signs the request anew; it goes to
// Antom over verified TLS; and no byte of the response goes back before the agent has verified it. The response keeps its
// signature, so the SDK verifies it a second time, with Antom's public key, which is no secret.
//
// It costs one signature more, about a millisecond, and a hop over loopback; requests and responses are at most 1 MiB. Not for it are the
// SDK's file upload, which goes elsewhere, and meter/uploadEvent, which is not signed. The SDK's AgentToken stays empty: see WithMerchant.
// It was run against a stand-in for the SDK, written from what the SDK does, and not against the SDK itself. An application that may
// choose is better off with SignRequest and VerifyResponse.
type Gateway struct {
	agent    *Client
	profile  string
	merchant string
	target   *url.URL // scheme and host; nil: as the agent says
	roots    *x509.CertPool
	failed   func(*GatewayFailure)

	key       *rsa.PrivateKey
	keyText   string
	url       string
	server    *http.Server
	transport *http.Transport
}

// GatewayOption is an option of NewGateway.
type GatewayOption func(*Gateway)

// WithMerchant is for ISVs: the merchant, as registered at the agent, whose authorization token goes along with each request. The SDK's
// own AgentToken stays empty: the gateway refuses requests with one, as dropping it would change for whom they are.
func WithMerchant(merchant string) GatewayOption {
	return func(g *Gateway) { g.merchant = merchant }
}

// WithRootCAs verifies Antom's certificate with these authorities instead of the system's.
func WithRootCAs(pool *x509.CertPool) GatewayOption {
	return func(g *Gateway) { g.roots = pool }
}

// WithFailures has f told why a request got no proven response, as the SDK hides it. f is called from several goroutines.
func WithFailures(f func(*GatewayFailure)) GatewayOption {
	return func(g *Gateway) { g.failed = f }
}

// GatewayFailure is why the SDK got no proven response.
type GatewayFailure struct {
	URI    string // that the SDK asked for; "" when the gateway itself failed
	Status int    // that the SDK got
	Err    error  // often an *Error

	// Of a response that came and is not proven. For diagnosis: Antom's gateway sends its own failures unsigned. Never act on it.
	Response     []byte
	ResponseCode int // its HTTP status; 0: none came
}

func (f *GatewayFailure) Error() string {
	return fmt.Sprintf("antomagent: gateway: %s: %v", f.URI, f.Err)
}

// Unwrap returns Err.
func (f *GatewayFailure) Unwrap() error {
	return f.Err
}

// NewGateway makes a gateway that signs for profile, and begins to serve. agent stays the caller's, and must outlive the gateway.
//
// target is scheme and host of Antom's gateway, as https://open-sea-global.alipay.com; "": the gateway that the agent names for the
// profile. errors: CodeBadParam, and the operating system's when there is no port.
func NewGateway(agent *Client, profile, target string, options ...GatewayOption) (*Gateway, error) {
	g := &Gateway{agent: agent, profile: profile, failed: func(*GatewayFailure) {}}
	if target != "" {
		var err error
		if g.target, err = targetOf(target); err != nil {
			return nil, err
		}
	}
	for _, option := range options {
		option(g)
	}
	if err := g.makeKey(); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("antomagent: gateway: %w", err)
	}
	g.url = "http://" + listener.Addr().String()
	g.transport = g.newTransport()
	g.server = g.newServer()
	g.server.SetKeepAlivesEnabled(false) // the SDK opens a connection for each call, and would leave them all open
	go g.serve(listener)
	return g, nil
}

func targetOf(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" ||
		u.ForceQuery || u.Fragment != "" {
		return nil, badParam("target", "is https:// and a host, without a path")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

func (g *Gateway) makeKey() error {
	key, err := rsa.GenerateKey(rand.Reader, throwawayBits)
	if err != nil {
		return fmt.Errorf("antomagent: gateway: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("antomagent: gateway: %w", err)
	}
	g.key, g.keyText = key, base64.StdEncoding.EncodeToString(der)
	return nil
}

// newTransport asks for no compression, as what is signed is the body without it.
func (g *Gateway) newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		TLSClientConfig:        &tls.Config{RootCAs: g.roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        30 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: gatewayHeaderMax,
	}
}

func (g *Gateway) newServer() *http.Server {
	return &http.Server{
		Handler:           http.HandlerFunc(g.handle),
		ReadHeaderTimeout: gatewayRead,
		ReadTimeout:       gatewayRead,
		WriteTimeout:      gatewayRead + 2*g.agent.timeout + gatewaySend + gatewaySlack, // it signs and verifies in between
		MaxHeaderBytes:    gatewayHeaderMax,
	}
}

func (g *Gateway) serve(listener net.Listener) {
	if err := g.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		g.failed(&GatewayFailure{Err: err})
	}
}

// URL is for the SDK's GatewayUrl.
func (g *Gateway) URL() string {
	return g.url
}

// PrivateKey is for the SDK's MerchantPrivateKey: PKCS#8 in base64 without armour, known to this process alone. Keep it in memory: with it
// anybody on this machine can have requests signed, as long as the gateway runs.
func (g *Gateway) PrivateKey() string {
	return g.keyText
}

// Close ends the gateway. What is under way fails, and may have reached Antom.
func (g *Gateway) Close() error {
	err := g.server.Close()
	g.transport.CloseIdleConnections()
	return err
}

// Shutdown ends the gateway when what is under way has ended, or ctx is done: then it returns its error.
func (g *Gateway) Shutdown(ctx context.Context) error {
	err := g.server.Shutdown(ctx)
	g.transport.CloseIdleConnections()
	return err
}
