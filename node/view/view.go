// Package view defines the JSON objects that seedbed writes for other programs with --json.
//
// Every object consists of an envelope, Head, and the fields of its kind. Table lists the
// kinds. docs/events.schema.json is generated from the types here, and a test checks it
// against the output of every command. A field name has the same type in all objects. Sizes
// are in bytes, rates in bytes a second, fields ending in _ms or _s in milliseconds or
// seconds.
//
// The package has no state and prints nothing.
package view

import (
	"encoding/json"
	"fmt"
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

// Object is a pointer to one of the types in Table.
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

// Writer writes objects, one on each line.
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

// Complete sets the event of o and, if it is not set, the time. It returns the event.
func Complete(o Object, now time.Time) (event string) {
	h := o.head()
	name, known := names[reflect.TypeOf(o)]
	if !known {
		panic("view: " + reflect.TypeOf(o).String() + " is not in Table")
	}
	h.Event = name
	if h.Time == "" {
		h.Time = now.Format(time.RFC3339Nano)
	}
	return name
}

// Decode returns the object of an event that another program has written.
func Decode(event string, b []byte) (Object, error) {
	for _, e := range Table {
		if e.Event == event {
			o := reflect.New(reflect.TypeOf(e.Object).Elem()).Interface().(Object)
			return o, json.Unmarshal(b, o)
		}
	}
	return nil, fmt.Errorf("there is no event %q", event)
}

// InfoHash returns the infohash of the torrent that o is about, in hex, or "".
func InfoHash(o Object) string { return o.head().InfoHash }

// Millis returns d in the form of the fields that end in _ms.
func Millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
