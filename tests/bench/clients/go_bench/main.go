// Command bench makes signatures by Go, one after the other; see bench.py.
package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"net/url"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"antomagent"
)

const pay = "/ams/api/v1/payments/pay"

var body = []byte(`{"paymentRequestId":"` + strings.Repeat("x", 277) + `"}`)

func byAgent(socket, profile string) func() error {
	agent, err := antomagent.New(antomagent.Options{Path: socket})
	if err != nil {
		log.Fatal(err)
	}
	return func() error {
		_, err := agent.SignRequest(context.Background(), antomagent.SignRequest{Profile: profile, Method: "POST", URI: pay, Body: body})
		return err
	}
}

func load(text string) (*rsa.PrivateKey, error) {
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	return key.(*rsa.PrivateKey), nil
}

func inProcess(mode, path, clientID string) func() error {
	data, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	text := strings.TrimSpace(string(data))
	kept, err := load(text)
	if err != nil {
		log.Fatal(err)
	}
	return func() error {
		key := kept
		if mode == "parse" {
			if key, err = load(text); err != nil {
				return err
			}
		}
		now := strconv.FormatInt(time.Now().UnixMilli(), 10)
		sum := sha256.Sum256(append([]byte("POST "+pay+"\n"+clientID+"."+now+"."), body...))
		raw, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		_ = "algorithm=RSA256,keyVersion=1,signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(raw))
		return err
	}
}

func measure(sign func() error, length time.Duration) {
	var spent []time.Duration
	for i := 0; i < 20; i++ {
		if err := sign(); err != nil {
			log.Fatal(err)
		}
	}
	begin := time.Now()
	for now := begin; now.Sub(begin) < length; {
		if err := sign(); err != nil {
			log.Fatal(err)
		}
		then := time.Now()
		spent = append(spent, then.Sub(now))
		now = then
	}
	total := time.Since(begin)
	sort.Slice(spent, func(i, j int) bool { return spent[i] < spent[j] })
	micro := func(i int) float64 { return float64(spent[i].Nanoseconds()) / 1000 }
	out, err := json.Marshal(map[string]float64{"rate": float64(len(spent)) / total.Seconds(), "p50_us": micro(len(spent) / 2),
		"p99_us": micro(len(spent) * 99 / 100)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(out))
}

func main() {
	mode, where, who := os.Args[1], os.Args[2], os.Args[3]
	ms, err := strconv.Atoi(os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	sign := byAgent
	if mode != "agent" {
		sign = func(path, clientID string) func() error { return inProcess(mode, path, clientID) }
	}
	measure(sign(where, who), time.Duration(ms)*time.Millisecond)
}
