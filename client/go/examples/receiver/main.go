// Receiver takes Antom's notifications, and believes each only once it is proven.
//
//	receiver APP/ENV PORT
//
// It listens on 127.0.0.1; port 0 takes any free one. The agent is found by $ANTOM_AGENT_SOCKET.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"antomagent"
)

const (
	bodyMax  = 1 << 20 // bytes
	accepted = `{"result":{"resultCode":"SUCCESS","resultStatus":"S","resultMessage":"success"}}`
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: receiver APP/ENV PORT")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run serves until it is interrupted.
func run(profile, port string) error {
	agent, err := antomagent.New(antomagent.Options{})
	if err != nil {
		return err
	}
	defer agent.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:      &receiver{agent, profile}, // no ServeMux: it would send Antom elsewhere for a path that it finds unclean
		ReadTimeout:  10 * time.Second,
		WriteTimeout: 30 * time.Second,
	}
	fmt.Println("listening on", listener.Addr().(*net.TCPAddr).Port)
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	stopped := make(chan error, 1)
	go func() {
		<-stop.Done()
		soon, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := server.Shutdown(soon); err != nil {
			stopped <- server.Close() // what is cut off is not acknowledged, so Antom sends it again
		} else {
			stopped <- nil
		}
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

type receiver struct {
	agent   *antomagent.Client
	profile string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, status := read(w, request)
	if status == http.StatusOK {
		status = r.verify(request, body)
	}
	if status != http.StatusOK {
		w.WriteHeader(status)
		return
	}
	// Proven. Antom sends each notification again until it gets this answer, so an application acts on it here, and only if it has
	// not done so before: keep the ids of what was handled, paymentRequestId and its like.
	fmt.Printf("notified %s %d\n", request.RequestURI, len(body))
	w.Header().Set("Content-Type", "application/json")
	if _, err := io.WriteString(w, accepted); err != nil {
		fmt.Fprintln(os.Stderr, "not acknowledged:", err) // Antom sends it again
	}
}

// read returns the raw body, or the status that refuses it.
func read(w http.ResponseWriter, request *http.Request) ([]byte, int) {
	if request.Method != "POST" {
		w.Header().Set("Allow", "POST")
		return nil, http.StatusMethodNotAllowed
	}
	if request.ContentLength > bodyMax {
		w.Header().Set("Connection", "close")
		return nil, http.StatusRequestEntityTooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, bodyMax))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, http.StatusRequestEntityTooLarge
	case err != nil:
		return nil, http.StatusBadRequest
	}
	return body, http.StatusOK
}

// verify returns 200 for a proven notification. Of what is not, Antom repeats all: 503 says that this may help.
func (r *receiver) verify(request *http.Request, body []byte) int {
	_, err := r.agent.VerifyNotification(request.Context(), antomagent.Message{Profile: r.profile, Method: request.Method,
		URI: request.RequestURI, Headers: request.Header, Body: body})
	if err == nil {
		return http.StatusOK
	}
	fmt.Fprintln(os.Stderr, err)
	var e *antomagent.Error
	if errors.As(err, &e) && (e.Class == antomagent.ClassVerify || e.Class == antomagent.ClassCaller) {
		return http.StatusBadRequest
	}
	return http.StatusServiceUnavailable
}
