package qbittorrent

import (
	"encoding/json"
	"math"
	"strconv"
)

// JSON is written without reflection, because a list of 10,000 torrents has 600,000 values.

// appendString appends a string as JSON.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			quoted, err := json.Marshal(s)
			if err != nil {
				panic(err) // every string has a JSON form
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendFloat appends a number as JSON; one that is not finite is -1, as in qBittorrent.
func appendFloat(b []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		f = -1
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}

// An object writes a JSON object.
type object struct {
	b []byte
}

func newObject(b []byte) *object { return &object{append(b, '{')} }

func (o *object) name(key string) {
	if o.b[len(o.b)-1] != '{' {
		o.b = append(o.b, ',')
	}
	o.b = append(appendString(o.b, key), ':')
}

func (o *object) str(key, v string) {
	o.name(key)
	o.b = appendString(o.b, v)
}

func (o *object) int(key string, v int64) {
	o.name(key)
	o.b = strconv.AppendInt(o.b, v, 10)
}

func (o *object) float(key string, v float64) {
	o.name(key)
	o.b = appendFloat(o.b, v)
}

func (o *object) bool(key string, v bool) {
	o.name(key)
	o.b = strconv.AppendBool(o.b, v)
}

// object writes a value that is an object.
func (o *object) object(key string, write func(*object)) {
	o.name(key)
	o.b = append(o.b, '{')
	write(o)
	o.b = append(o.b, '}')
}

// strings writes a value that is a list of strings.
func (o *object) strings(key string, list []string) {
	o.name(key)
	o.b = appendStrings(o.b, list)
}

// end returns the finished object.
func (o *object) end() []byte { return append(o.b, '}') }

// appendStrings appends a list of strings as JSON.
func appendStrings(b []byte, list []string) []byte {
	return appendList(b, list, appendString)
}

// appendList appends a list as JSON.
func appendList[T any](b []byte, list []T, write func([]byte, T) []byte) []byte {
	return appendEach(b, len(list), func(b []byte, i int) []byte { return write(b, list[i]) })
}

// appendEach appends a list of n elements as JSON.
func appendEach(b []byte, n int, write func(b []byte, i int) []byte) []byte {
	b = append(b, '[')
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = write(b, i)
	}
	return append(b, ']')
}
