package antomagent

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const proofSkew = 5 * time.Minute // older requests of the SDK are refused, so that a copy of one is of little use

// proof is what the SDK sent to show that a request is its own.
type proof struct {
	clientID, at string
	signature    []byte
}

var errNotOurs = errors.New("the request is not signed by the SDK of this process")

// proofOf reads the headers. errors: errNotOurs.
func proofOf(h http.Header, now time.Time) (*proof, error) {
	p := &proof{clientID: h.Get("Client-Id"), at: h.Get("Request-Time")}
	for _, name := range []string{"Client-Id", "Request-Time", "Signature"} {
		if len(h.Values(name)) != 1 {
			return nil, errNotOurs
		}
	}
	if !isPlain(p.clientID) || !isNear(p.at, now) {
		return nil, errNotOurs
	}
	var err error
	if p.signature, err = signatureIn(h.Get("Signature")); err != nil {
		return nil, errNotOurs
	}
	return p, nil
}

// isPlain refuses dots above all, which would let one signature fit other pairs of client id and time.
func isPlain(id string) bool {
	for _, c := range []byte(id) {
		if !(c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '_' || c == '-') {
			return false
		}
	}
	return id != ""
}

// isNear takes Unix milliseconds, and the nanoseconds of older SDKs.
func isNear(text string, now time.Time) bool {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || text[0] == '-' || text[0] == '+' {
		return false
	}
	var at time.Time
	switch len(text) {
	case 13:
		at = time.UnixMilli(n)
	case 19:
		at = time.Unix(0, n)
	default:
		return false
	}
	away := now.Sub(at)
	return away < proofSkew && away > -proofSkew
}

// signatureIn reads "algorithm=RSA256,keyVersion=1,signature=..."; other parts may be missing.
func signatureIn(header string) ([]byte, error) {
	for _, part := range strings.Split(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if name != "signature" {
			continue
		}
		decoded, err := url.PathUnescape(value) // a plus sign stays one
		if err != nil {
			return nil, err
		}
		return base64.StdEncoding.Strict().DecodeString(decoded)
	}
	return nil, errNotOurs
}

// verify checks that the request was signed with the throwaway key.
func (p *proof) verify(key *rsa.PublicKey, method, target string, body []byte) error {
	h := sha256.New()
	for _, part := range []string{method, " ", target, "\n", p.clientID, ".", p.at, "."} {
		h.Write([]byte(part))
	}
	h.Write(body)
	if rsa.VerifyPKCS1v15(key, crypto.SHA256, h.Sum(nil), p.signature) != nil {
		return errNotOurs
	}
	return nil
}
