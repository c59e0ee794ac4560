// Pay has a payment request signed, sends it to Antom, and believes the response only once it is proven.
//
//	pay APP/ENV [amount]
//
// The agent is found by $ANTOM_AGENT_SOCKET. $ANTOM_CA_FILE names a file of certificates to trust instead of the system's.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"antomagent"
)

const (
	path        = "/ams/api/v1/payments/pay"
	responseMax = 1 << 20 // bytes
)

func main() {
	if len(os.Args) < 2 || len(os.Args) > 3 {
		fmt.Fprintln(os.Stderr, "usage: pay APP/ENV [amount]")
		os.Exit(2)
	}
	amount := "100"
	if len(os.Args) == 3 {
		amount = os.Args[2]
	}
	paid, err := pay(os.Args[1], amount)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("paid", paid)
}

// pay returns the payment's id, or the code of the result where there is none.
func pay(profile, amount string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	agent, err := antomagent.New(antomagent.Options{})
	if err != nil {
		return "", err
	}
	defer agent.Close()
	body, err := order(amount)
	if err != nil {
		return "", err
	}
	signed, err := agent.SignRequest(ctx, antomagent.SignRequest{Profile: profile, Method: "POST", URI: path, Body: body})
	if err != nil {
		return "", err
	}
	headers, answer, err := send(ctx, signed, body)
	if err != nil {
		return "", err
	}
	_, err = agent.VerifyResponse(ctx, antomagent.Message{Profile: profile, Method: "POST", URI: signed.URI, Headers: headers, Body: answer})
	if err != nil {
		return "", err
	}
	return outcome(answer)
}

// order serialises the payment once: these bytes are signed, and these are sent.
func order(amount string) ([]byte, error) {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return nil, err
	}
	return json.Marshal(map[string]interface{}{
		"paymentRequestId": hex.EncodeToString(id), // Antom takes each once; a second try sends the same one
		"productCode":      "CASHIER_PAYMENT",
		"paymentAmount":    map[string]string{"currency": "USD", "value": amount},
	})
}

func send(ctx context.Context, signed *antomagent.Signed, body []byte) (http.Header, []byte, error) {
	if signed.URL == "" {
		return nil, nil, errors.New("the profile has no gateway; ask its staff to set one")
	}
	client, err := newClient()
	if err != nil {
		return nil, nil, err
	}
	request, err := http.NewRequestWithContext(ctx, "POST", signed.URL, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	request.Header = signed.Headers
	response, err := client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, responseMax+1))
	if err == nil && len(answer) > responseMax {
		err = errors.New("the response is too large")
	}
	return response.Header, answer, err
}

func newClient() (*http.Client, error) {
	var roots *x509.CertPool // nil: the system's
	if file := os.Getenv("ANTOM_CA_FILE"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: holds no certificate", file)
		}
	}
	return &http.Client{Transport: &http.Transport{
		Proxy:           http.ProxyFromEnvironment,
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}}, nil
}

// outcome reads a response that is proven.
func outcome(answer []byte) (string, error) {
	var told struct {
		PaymentID string `json:"paymentId"`
		Result    struct {
			Code string `json:"resultCode"`
		} `json:"result"`
	}
	if err := json.Unmarshal(answer, &told); err != nil {
		return "", fmt.Errorf("Antom's response: %w", err)
	}
	if told.PaymentID != "" {
		return told.PaymentID, nil
	}
	return told.Result.Code, nil
}
