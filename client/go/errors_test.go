package antomagent

import (
	"context"
	"errors"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestCodes compares codes.go with the table of PROTOCOL.md.
func TestCodes(t *testing.T) {
	page, err := os.ReadFile("../../proto/PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| (\\d+) \\| `(\\w+)` \\| (\\w+) \\|").FindAllStringSubmatch(string(page), -1) {
		numbers[strings.ReplaceAll(row[2], "_", "")] = row[1]
		code, err := strconv.Atoi(row[1])
		if err != nil {
			t.Fatal(err)
		}
		if code != 0 && string(classOf(code)) != row[3] {
			t.Errorf("%s: class %s", row[2], classOf(code))
		}
	}
	source, err := os.ReadFile("codes.go")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\tCode(\w+)\s+= (\d+)`).FindAllStringSubmatch(string(source), -1)
	if len(rows) < 39 {
		t.Fatalf("%d codes", len(rows))
	}
	for _, row := range rows {
		if numbers[strings.ToUpper(row[1])] != row[2] {
			t.Errorf("%s is not %s", row[1], row[2])
		}
	}
}

func TestErrorsOfTheAgent(t *testing.T) {
	for name, row := range map[string]struct {
		given object
		want  Error
	}{
		"in full": {object{"code": int64(104), "name": "BAD_PARAM", "class": "caller", "message": "m", "field": "uri"},
			Error{Code: 104, Name: "BAD_PARAM", Class: ClassCaller, Message: "m", Field: "uri"}},
		"busy": {object{"code": int64(500), "name": "BUSY", "class": "retry", "message": "m", "retry_after_ms": int64(7)},
			Error{Code: 500, Name: "BUSY", Class: ClassRetry, Message: "m", RetryAfter: 7 * time.Millisecond, again: true}},
		"deadline":   {object{"code": int64(503), "class": "retry"}, Error{Code: 503, Name: "UNKNOWN", Class: ClassRetry}},
		"timeout":    {object{"code": int64(506), "class": "retry"}, Error{Code: 506, Name: "UNKNOWN", Class: ClassRetry}},
		"by hundred": {object{"code": int64(599)}, Error{Code: 599, Name: "UNKNOWN", Class: ClassRetry, again: true}},
		"by class":   {object{"code": int64(250), "class": "verify"}, Error{Code: 250, Name: "UNKNOWN", Class: ClassVerify}},
		"a new class": {object{"code": int64(700), "class": "odd", "name": "X"},
			Error{Code: 700, Name: "X", Class: "odd"}},
		"of another type": {object{"code": int64(500), "class": int64(1), "name": true, "field": []byte("x"), "retry_after_ms": "3"},
			Error{Code: 500, Name: "UNKNOWN", Class: ClassRetry, again: true}},
		"negative": {object{"code": int64(-500), "retry_after_ms": int64(-5)}, Error{Code: -500, Name: "UNKNOWN", Class: ClassInternal}},
		"no code":  {object{"name": "DENIED"}, *badAnswer("an error without a code")},
		"true":     {object{"code": true}, *badAnswer("an error without a code")},
		"too much": {object{"code": int64(math.MaxInt64)}, *badAnswer("an error without a code")},
	} {
		if got := *errorOf(row.given); got != row.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestMillisecondsEndSomewhere(t *testing.T) {
	for ms, want := range map[int64]time.Duration{0: 0, 5: 5 * time.Millisecond, -12: -12 * time.Millisecond,
		math.MaxInt64: 9223372036854 * time.Millisecond, math.MinInt64: -9223372036854 * time.Millisecond} {
		if got := milliseconds(ms); got != want {
			t.Errorf("%d: %d", ms, got)
		}
	}
}

func TestErrorsHaveCauses(t *testing.T) {
	if e := late(); !errors.Is(e, context.DeadlineExceeded) || !e.WorthRepeating() {
		t.Error(e)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if e := ended(cancelled); !errors.Is(e, context.Canceled) || e.WorthRepeating() || e.Code != CodeTimeout {
		t.Error(e)
	}
	if e := unreachable("/x", syscall.ENOENT); !errors.Is(e, os.ErrNotExist) || !strings.Contains(e.Error(), "/x") {
		t.Error(e)
	}
	if _, again := pauseBefore(late()); again {
		t.Error("a timeout is repeated")
	}
	if _, again := pauseBefore(nil); again {
		t.Error("a success is repeated")
	}
	if pause, again := pauseBefore(lost("x")); !again || pause != 0 {
		t.Error("a lost connection is not repeated")
	}
}
