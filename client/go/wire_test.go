package antomagent

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
)

func parse(data []byte) (message, error) {
	return newDecoder(nil).message(data)
}

func unhex(t testing.TB, text string) []byte {
	data, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestRequestsAsTheProtocolShowsThem(t *testing.T) {
	got, err := encodeRequest(1, "health", nil, frameMax)
	if want := unhex(t, "0000000b 94 00 01 a66865616c7468 80"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%x: %v", got, err)
	}
	got, err = encodeRequest(2, "m", object{"body": []byte(`{"a":1}`)}, frameMax)
	if want := unhex(t, "00000014 94 00 02 a16d 81 a4626f6479 c4077b2261223a317d"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%x: %v", got, err)
	}
	got, err = encodeRequest(idMax, "m", about("p", "M", "/", nil, ""), frameMax)
	if err != nil || !bytes.Contains(got, unhex(t, "a4626f6479 c400")) || !bytes.Contains(got, unhex(t, "ce7fffffff")) {
		t.Errorf("a nil body is no empty one: %x: %v", got, err)
	}
}

func TestRequestsThatCannotBeSent(t *testing.T) {
	for name, row := range map[string]struct {
		params object
		field  string
	}{
		"over the limit": {object{"body": make([]byte, 100)}, "body"},
		"a channel":      {object{"x": make(chan int)}, "params"},
	} {
		_, err := encodeRequest(1, "m", row.params, 100)
		var e *Error
		if !errors.As(err, &e) || e.Code != CodeBadParam || e.Field != row.field {
			t.Errorf("%s: %v", name, err)
		}
	}
	if data, err := encodeRequest(1, "m", object{"body": make([]byte, 100)}, 113); err != nil || len(data) != 4+113 {
		t.Errorf("at the limit: %d, %v", len(data), err)
	}
}

type vector struct {
	Name    string        `json:"name"`
	Hex     string        `json:"hex"`
	Message []interface{} `json:"message"`
}

func vectors(t testing.TB) []vector {
	data, err := os.ReadFile("../../proto/vectors/answers.json")
	if err != nil {
		t.Fatal(err)
	}
	var out []vector
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	if len(out) < 10 {
		t.Fatalf("%d vectors", len(out))
	}
	return out
}

// shown is v as a vector shows bytes.
func shown(v interface{}) interface{} {
	switch v := v.(type) {
	case []byte:
		return object{"$bin": hex.EncodeToString(v)}
	case []interface{}:
		for i := range v {
			v[i] = shown(v[i])
		}
	case object:
		for k := range v {
			v[k] = shown(v[k])
		}
	}
	return v
}

// asJSON makes values comparable with those of a vector.
func asJSON(t *testing.T, v interface{}) interface{} {
	data, err := json.Marshal(shown(v))
	if err != nil {
		t.Fatal(err)
	}
	var out interface{}
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		data := unhex(t, v.Hex)
		m, err := newDecoder(bytes.NewReader(data)).next(frameMax)
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		last := v.Message[len(v.Message)-1]
		if m.isEvent != (v.Message[0] == 2.0) || !reflect.DeepEqual(asJSON(t, m.result), last) {
			t.Errorf("%s: %v", v.Name, m)
		}
		if !m.isEvent && v.Message[2] != nil && float64(m.failed.Code) != v.Message[2].(object)["code"] {
			t.Errorf("%s: %v", v.Name, m.failed)
		}
		for i := range data { // what is cut off anywhere is no message
			_, err := newDecoder(bytes.NewReader(data[:i])).next(frameMax)
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s cut at %d: %v", v.Name, i, err)
			}
			if _, err := parse(data[4 : 4+max(i-4, 0)]); err == nil {
				t.Errorf("%s: the value cut at %d", v.Name, i-4)
			}
		}
		if _, err := parse(append(data[4:], 0xc0)); err == nil {
			t.Errorf("%s: a byte behind it", v.Name)
		}
	}
}

func max(a, b int) int {
	if a > b {
		return a
	}
	return b
}

func TestWhatIsNoMessage(t *testing.T) {
	deep := "94 01 01 c0" + strings.Repeat("91", 1000000) + "c0"
	for name, text := range map[string]string{
		"c1":                       "c1",
		"an extension":             "94 01 01 c0 d4 01 00",
		"a timestamp":              "94 01 01 c0 d6 ff 00000000",
		"a map behind an ext":      "94 01 01 c0 d4 01 00 80",
		"an extension as length":   "c7 00 01 94 01 01 c0 c0",
		"deep":                     deep,
		"2 G values":               "dd 7fffffff",
		"4 G values":               "dd ffffffff",
		"2 G pairs":                "df 7fffffff",
		"more values than bytes":   "94 01 01 c0 dc ffff c0 c0",
		"4 G bytes of text":        "94 01 01 c0 db ffffffff 61",
		"4 G bytes":                "94 01 01 c0 c6 ffffffff 61",
		"an integer as key":        "94 01 01 c0 81 01 c0",
		"bin as key":               "94 01 01 c0 81 c40161 c0",
		"nil as key":               "94 01 01 c0 81 c0 c0",
		"text that is no UTF-8":    "94 01 01 c0 a1 ff",
		"a key that is no UTF-8":   "94 01 01 c0 81 a1 ff c0",
		"a request":                "94 00 01 a161 80",
		"an array of 3":            "93 01 01 c0",
		"an array of 5":            "95 01 01 c0 c0 c0",
		"an id that is text":       "94 01 a131 c0 c0",
		"an id that is true":       "94 01 c3 c0 c0",
		"an id over all integers":  "94 01 cf ffffffffffffffff c0 c0",
		"true for 1":               "94 c3 01 c0 c0",
		"1.0 for 1":                "94 cb 3ff0000000000000 01 c0 c0",
		"an error that is text":    "94 01 01 a16e c0",
		"an error that is a list":  "94 01 01 90 c0",
		"an event without a name":  "93 02 c0 80",
		"an event of 2":            "92 02 a161",
		"a name that is bin":       "93 02 c40161 80",
		"an integer":               "05",
		"a map":                    "80",
		"nothing":                  "",
		"bytes behind the message": "94 01 01 c0 c0 c0",
	} {
		_, err := parse(unhex(t, text))
		var e *Error
		if !errors.As(err, &e) || e.Code != CodeBadFrame || e.again {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEveryFormOfAValue(t *testing.T) {
	for text, want := range map[string]interface{}{
		"c0": nil, "c2": false, "c3": true, "05": int64(5), "e0": int64(-32), "cc ff": int64(255), "cd ffff": int64(65535),
		"ce ffffffff": int64(4294967295), "cf 7fffffffffffffff": int64(9223372036854775807), "cf 8000000000000000": uint64(1 << 63),
		"d0 80": int64(-128), "d1 8000": int64(-32768), "d2 80000000": int64(-2147483648), "d3 ffffffffffffffff": int64(-1),
		"ca 3f800000": 1.0, "cb 3ff8000000000000": 1.5, "a0": "", "a161": "a", "d90161": "a", "da000161": "a", "db0000000161": "a",
		"c400": []byte{}, "c401ff": []byte{255}, "c50001ff": []byte{255}, "c600000001ff": []byte{255}, "90": []interface{}{},
		"91c0": []interface{}{nil}, "dc0001c3": []interface{}{true}, "dd00000001c3": []interface{}{true}, "80": object{},
		"81a161c0": object{"a": nil}, "de0001a16101": object{"a": int64(1)}, "df00000001a16101": object{"a": int64(1)},
	} {
		m, err := parse(append(unhex(t, "dc0004 01 d200000007 c0"), unhex(t, text)...))
		if b, is := m.result.([]byte); is && len(b) == 0 {
			m.result = []byte{}
		}
		if err != nil || m.id != 7 || !reflect.DeepEqual(m.result, want) {
			t.Errorf("%s: %#v, %v", text, m.result, err)
		}
	}
}

func TestFramesOfNoSize(t *testing.T) {
	for name, row := range map[string]struct {
		data string
		max  int64
		bad  bool
	}{
		"length 0":       {"00000000", 100, true},
		"one over":       {"00000005 94 01 01 c0 c0", 4, true},
		"at the limit":   {"00000005 94 01 01 c0 c0", 5, false},
		"the most":       {"ffffffff", frameMax, true},
		"no such limits": {"00000001 c0", -1, true},
	} {
		_, err := newDecoder(bytes.NewReader(unhex(t, row.data))).next(row.max)
		var e *Error
		if bad := errors.As(err, &e); bad != row.bad || (err == nil) == row.bad {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEvents(t *testing.T) {
	for name, row := range map[string]struct {
		event  string
		params interface{}
		ok     bool
	}{
		"epoch":               {"epoch", object{"epoch": int64(3), "more": 1}, true},
		"epoch that is text":  {"epoch", object{"epoch": "3"}, false},
		"epoch that is true":  {"epoch", object{"epoch": true}, false},
		"lagged":              {"lagged", object{"epoch": int64(3)}, true},
		"lagged, empty":       {"lagged", object{}, false},
		"profile":             {"profile", object{"profile": "a/live", "sign": "ready", "version": int64(1), "key_version": int64(2)}, true},
		"half a ready one":    {"profile", object{"profile": "a/live", "sign": "ready", "version": int64(1)}, false},
		"one that is stopped": {"profile", object{"profile": "a/live", "sign": "KEY_STATE"}, true},
		"of no name":          {"profile", object{"sign": "KEY_STATE"}, false},
		"state":               {"state", object{"state": "locked"}, true},
		"state, empty":        {"state", object{}, false},
		"draining":            {"draining", object{}, true},
		"draining, a list":    {"draining", []interface{}{}, false},
		"unknown":             {"new", object{"epoch": int64(3)}, false},
		"nil":                 {"epoch", nil, false},
	} {
		if e, ok := eventOf(row.event, row.params); ok != row.ok || (ok && e.Name != row.event) {
			t.Errorf("%s: %v, %v", name, e, ok)
		}
	}
}

func FuzzMessage(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(unhex(f, v.Hex)[4:])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parse(data)
		var e *Error
		if err != nil && (!errors.As(err, &e) || e.Code != CodeBadFrame) {
			t.Fatal(err)
		}
		if err == nil { // what reads results never panics
			signedOf(m.result)
			verifiedOf(m.result)
			explanationOf(m.result)
			eventOf(m.event, m.result)
		}
	})
}
