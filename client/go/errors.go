package antomagent

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"time"
)

// Class says what to do about an error whose code is not known.
type Class string

// The classes. One that is not among them is handled like ClassInternal.
const (
	ClassCaller   Class = "caller"   // correct the request; the same one fails again
	ClassDenied   Class = "denied"   // ask security staff for a grant
	ClassState    Class = "state"    // something must be configured first; the message names it
	ClassVerify   Class = "verify"   // the message is not proven to come from Antom
	ClassRetry    Class = "retry"    // a second try may succeed
	ClassInternal Class = "internal" // look into the agent's log
)

// Error is why a call has no result. Every error of this package is one; get it with errors.As.
//
// A call that ran out of time, or whose context was cancelled, has code CodeTimeout, and errors.Is finds context.DeadlineExceeded
// or context.Canceled in it.
type Error struct {
	Code       int           // of PROTOCOL.md section 5: decide by it where you know it
	Name       string        // its name there; of an unknown code, as the agent gave it
	Class      Class         // decide by it otherwise
	Message    string        // a sentence: what was wrong and what is allowed
	Field      string        // the parameter at fault; "" where there is none
	RetryAfter time.Duration // wait at least this long before repeating; 0 where the agent named no time

	again bool  // the client repeats the call once
	cause error // what it was made from here
}

func (e *Error) Error() string {
	return "antomagent: " + e.Name + ": " + e.Message
}

// Unwrap returns the error of the context or of the operating system behind this one, or nil.
func (e *Error) Unwrap() error {
	return e.cause
}

// WorthRepeating tells whether a second try may succeed. One was made already where there was time for it.
func (e *Error) WorthRepeating() bool {
	return e.Class == ClassRetry && !errors.Is(e.cause, context.Canceled) && !errors.Is(e.cause, net.ErrClosed)
}

var classes = map[int]Class{1: ClassCaller, 2: ClassDenied, 3: ClassState, 4: ClassVerify, 5: ClassRetry}

func classOf(code int) Class {
	if class, known := classes[code/100]; known {
		return class
	}
	return ClassInternal
}

// errorOf makes the error that an answer holds.
func errorOf(m map[string]interface{}) *Error {
	code, ok := m["code"].(int64)
	if !ok || code < math.MinInt32 || code > math.MaxInt32 {
		return badAnswer("an error without a code")
	}
	e := &Error{Code: int(code)}
	e.Name, _ = m["name"].(string)
	e.Message, _ = m["message"].(string)
	e.Field, _ = m["field"].(string)
	if e.Name == "" {
		e.Name = "UNKNOWN"
	}
	if class, _ := m["class"].(string); class != "" {
		e.Class = Class(class)
	} else {
		e.Class = classOf(e.Code)
	}
	if ms, ok := m["retry_after_ms"].(int64); ok && ms > 0 {
		e.RetryAfter = milliseconds(ms)
	}
	e.again = e.Class == ClassRetry && e.Code != CodeTimeout && e.Code != CodeDeadline
	return e
}

// milliseconds as a Duration, which ends at 292 years in either direction.
func milliseconds(ms int64) time.Duration {
	const most = math.MaxInt64 / int64(time.Millisecond)
	switch {
	case ms > most:
		ms = most
	case ms < -most:
		ms = -most
	}
	return time.Duration(ms) * time.Millisecond
}

// pauseBefore tells how long to wait before the one repetition, and whether there is one.
func pauseBefore(err error) (time.Duration, bool) {
	var e *Error
	if !errors.As(err, &e) || !e.again {
		return 0, false
	}
	return e.RetryAfter, true
}

// badFrame: what came is no message, so the connection ends.
func badFrame(what string) *Error {
	return &Error{Code: CodeBadFrame, Name: "BAD_FRAME", Class: ClassCaller,
		Message: "the agent sent " + what + "; the connection was closed"}
}

// badAnswer: a message, but not what was asked for. The connection stays.
func badAnswer(what string) *Error {
	return &Error{Code: CodeBadFrame, Name: "BAD_FRAME", Class: ClassCaller, Message: "the agent answered " + what}
}

func badParam(field, message string) *Error {
	return &Error{Code: CodeBadParam, Name: "BAD_PARAM", Class: ClassCaller, Message: message, Field: field}
}

// lost: the connection ended before the answer.
func lost(why string) *Error {
	return &Error{Code: CodeRetry, Name: "RETRY", Class: ClassRetry, Message: why, again: true}
}

func closed(what string) *Error {
	return &Error{Code: CodeRetry, Name: "RETRY", Class: ClassRetry, Message: what + " was closed", cause: net.ErrClosed}
}

func unreachable(path string, err error) *Error {
	why := err
	var op *net.OpError
	if errors.As(err, &op) { // it names the path once more
		why = op.Err
	}
	return &Error{Code: CodeUnreachable, Name: "UNREACHABLE", Class: ClassRetry, Message: fmt.Sprintf("%s: %v", path, why), cause: err}
}

// ended is the error of a context that is done.
func ended(ctx context.Context) *Error {
	e := &Error{Code: CodeTimeout, Name: "TIMEOUT", Class: ClassRetry, Message: "no answer came in time", cause: ctx.Err()}
	if errors.Is(e.cause, context.Canceled) {
		e.Message = "the call was cancelled before its answer came"
	}
	return e
}

// late is the error of a call whose time is over, though its context may not have noticed yet.
func late() *Error {
	return &Error{Code: CodeTimeout, Name: "TIMEOUT", Class: ClassRetry, Message: "no answer came in time",
		cause: context.DeadlineExceeded}
}
