package antomagent

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"unicode/utf8"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

const (
	// Limits until hello tells others.
	frameMax    = 1114112
	requestsMax = 128
	bytesMax    = 8388608

	idMax      = 0x7fffffff
	depthMax   = 32  // the agent keeps to 8; this one only bounds the stack
	aroundBody = 512 // bytes to reserve for a request beside its body
)

// encodeRequest makes a frame, its length included, of at most max bytes of value.
func encodeRequest(id int64, method string, params map[string]interface{}, max int64) ([]byte, error) {
	var out bytes.Buffer
	body, _ := params["body"].([]byte)
	out.Grow(len(body) + aroundBody)
	out.Write(make([]byte, 4))
	enc := msgpack.NewEncoder(&out)
	enc.UseCompactInts(true)
	if err := encodeValue(enc, id, method, params); err != nil {
		return nil, badParam("params", "cannot be sent: "+err.Error())
	}
	data := out.Bytes()
	size := int64(len(data) - 4)
	if size > max || size > math.MaxUint32 {
		return nil, badParam("body", fmt.Sprintf("the request has %d bytes; at most %d can be sent", size, max))
	}
	binary.BigEndian.PutUint32(data, uint32(size))
	return data, nil
}

func encodeValue(enc *msgpack.Encoder, id int64, method string, params map[string]interface{}) error {
	if err := enc.EncodeArrayLen(4); err != nil {
		return err
	}
	if err := enc.EncodeInt(0); err != nil {
		return err
	}
	if err := enc.EncodeInt(id); err != nil {
		return err
	}
	if err := enc.EncodeString(method); err != nil {
		return err
	}
	if params == nil {
		return enc.EncodeMapLen(0)
	}
	return enc.EncodeMap(params)
}

// message is what the agent sent: an event, or an answer.
type message struct {
	isEvent bool
	event   string // its name
	hasID   bool   // false: an answer to no request, which says why the connection ends
	id      int64
	failed  *Error
	result  interface{} // of an answer; of an event: its params
}

// decoder turns frames into messages. For one goroutine.
type decoder struct {
	from *bufio.Reader
	data bytes.Reader
	dec  *msgpack.Decoder
}

func newDecoder(from io.Reader) *decoder {
	d := &decoder{from: bufio.NewReaderSize(from, 1<<16)}
	d.dec = msgpack.NewDecoder(&d.data)
	return d
}

// next waits for a whole message of at most max bytes. errors: *Error with BAD_FRAME; those of the connection.
func (d *decoder) next(max int64) (message, error) {
	var head [4]byte
	if _, err := io.ReadFull(d.from, head[:]); err != nil {
		return message{}, err
	}
	size := int64(binary.BigEndian.Uint32(head[:]))
	if size == 0 || size > max {
		return message{}, badFrame(fmt.Sprintf("a frame of %d bytes", size))
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(d.from, data); err != nil {
		return message{}, err
	}
	return d.message(data)
}

// message decodes the value of one frame.
func (d *decoder) message(data []byte) (message, error) {
	d.data.Reset(data)
	d.dec.Reset(&d.data)
	v, err := d.value(1)
	if err != nil || d.data.Len() > 0 {
		return message{}, badFrame("bytes that are no message")
	}
	if m, ok := messageOf(v); ok {
		return m, nil
	}
	return message{}, badFrame("a value that is no message")
}

func messageOf(v interface{}) (message, bool) {
	a, _ := v.([]interface{})
	switch {
	case len(a) == 4 && a[0] == int64(1):
		return answerOf(a)
	case len(a) == 3 && a[0] == int64(2):
		name, ok := a[1].(string)
		return message{isEvent: true, event: name, result: a[2]}, ok
	}
	return message{}, false
}

func answerOf(a []interface{}) (message, bool) {
	m := message{result: a[3]}
	if a[1] != nil {
		if m.id, m.hasID = a[1].(int64); !m.hasID {
			return message{}, false
		}
	}
	if a[2] != nil {
		failed, ok := a[2].(map[string]interface{})
		if !ok {
			return message{}, false
		}
		m.failed, m.result = errorOf(failed), nil
	}
	return m, true
}

var errForm = errors.New("not of the form that the protocol has")

// value decodes one value: nil, bool, int64 (uint64 above it), float64, string, []byte, []interface{}, map[string]interface{}.
// The library's own would take extensions and follow any depth.
func (d *decoder) value(depth int) (interface{}, error) {
	code, err := d.dec.PeekCode()
	if err != nil {
		return nil, err
	}
	switch {
	case msgpcode.IsString(code):
		return d.text()
	case msgpcode.IsFixedMap(code), code == msgpcode.Map16, code == msgpcode.Map32:
		return d.mapping(depth)
	case msgpcode.IsFixedArray(code), code == msgpcode.Array16, code == msgpcode.Array32:
		return d.array(depth)
	case code == msgpcode.Uint64:
		return d.unsigned()
	case msgpcode.IsFixedNum(code), code >= msgpcode.Uint8 && code <= msgpcode.Int64:
		return d.dec.DecodeInt64()
	case msgpcode.IsBin(code):
		return d.dec.DecodeBytes()
	case code == msgpcode.Nil:
		return nil, d.dec.DecodeNil()
	case code == msgpcode.False, code == msgpcode.True:
		return d.dec.DecodeBool()
	case code == msgpcode.Float, code == msgpcode.Double:
		return d.dec.DecodeFloat64()
	}
	return nil, errForm
}

func (d *decoder) text() (string, error) {
	s, err := d.dec.DecodeString()
	if err == nil && !utf8.ValidString(s) {
		err = errForm
	}
	return s, err
}

func (d *decoder) unsigned() (interface{}, error) {
	n, err := d.dec.DecodeUint64()
	if n <= math.MaxInt64 {
		return int64(n), err
	}
	return n, err
}

// fits tells whether so many values can stand in what is left, at this depth, before anything is allocated for them.
func (d *decoder) fits(count, depth int) bool {
	return depth <= depthMax && count >= 0 && count <= d.data.Len()
}

func (d *decoder) array(depth int) (interface{}, error) {
	count, err := d.dec.DecodeArrayLen()
	if err != nil || !d.fits(count, depth) {
		return nil, errForm
	}
	out := make([]interface{}, count)
	for i := range out {
		if out[i], err = d.value(depth + 1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (d *decoder) mapping(depth int) (interface{}, error) {
	count, err := d.dec.DecodeMapLen()
	if err != nil || !d.fits(count, depth) || !d.fits(2*count, depth) {
		return nil, errForm
	}
	out := make(map[string]interface{}, count)
	for i := 0; i < count; i++ {
		code, err := d.dec.PeekCode()
		if err != nil || !msgpcode.IsString(code) {
			return nil, errForm
		}
		key, err := d.text()
		if err != nil {
			return nil, err
		}
		if out[key], err = d.value(depth + 1); err != nil {
			return nil, err
		}
	}
	return out, nil
}
