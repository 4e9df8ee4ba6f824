// Package view defines the JSON objects that seedbed gives to other programs: the lines of
// --json, and later the responses and the event stream of the HTTP interface.
//
// Every object is an envelope, Head, together with the fields of its kind. Table lists the
// kinds. docs/events.schema.json is generated from the types here, and a test checks it
// against the output of every command. A field name has the same type in all objects. Sizes
// are in bytes, rates in bytes a second, fields ending in _ms or _s in milliseconds or seconds.
//
// The package has no state and prints nothing.
package view

import (
	"encoding/json"
	"io"
	"reflect"
	"time"
)

// Head is the envelope: the first fields of every object.
type Head struct {
	Event    string `json:"event"`
	Time     string `json:"time"`               // RFC 3339 with nanoseconds
	InfoHash string `json:"infohash,omitempty"` // of the torrent that the object is about
}

func (h *Head) head() *Head { return h }

// An Object is a pointer to one of the types in Table.
type Object interface{ head() *Head }

// Entry is a row of Table.
type Entry struct {
	Event  string
	About  string // one sentence
	Object Object
}

var names = func() map[reflect.Type]string {
	m := map[reflect.Type]string{}
	for _, e := range Table {
		m[reflect.TypeOf(e.Object)] = e.Event
	}
	return m
}()

// A Writer writes objects, one on each line.
type Writer struct{ enc *json.Encoder }

// NewWriter returns a Writer that writes to w.
func NewWriter(w io.Writer) *Writer {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return &Writer{enc}
}

// Write completes the envelope of o, unless it already has a time, and writes o. The caller
// ensures that no two calls overlap.
func (w *Writer) Write(o Object, now time.Time) error {
	Complete(o, now)
	return w.enc.Encode(o)
}

// Complete sets the event of o and, if it is not set, the time.
func Complete(o Object, now time.Time) {
	h := o.head()
	name, known := names[reflect.TypeOf(o)]
	if !known {
		panic("view: " + reflect.TypeOf(o).String() + " is not in Table")
	}
	h.Event = name
	if h.Time == "" {
		h.Time = now.Format(time.RFC3339Nano)
	}
}

// Millis returns d in the form of the fields that end in _ms.
func Millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
