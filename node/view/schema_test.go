package view

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"seedbed/magnet/metainfo"
	"seedbed/node"
)

var update = flag.Bool("update", false, "rewrite docs/events.schema.json")

const schemaFile = "../../docs/events.schema.json"

// texts are the types that are written as text.
var texts = map[reflect.Type]*jsonschema.Schema{
	reflect.TypeFor[node.ReasonKind](): {Type: "string"},
	reflect.TypeFor[node.LookupKind](): {Type: "string"},
	reflect.TypeFor[node.FaultKind]():  {Type: "string"},
}

// schemaOf returns the schema of one kind of object.
func schemaOf(t *testing.T, e Entry) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.ForType(reflect.TypeOf(e.Object).Elem(), &jsonschema.ForOptions{TypeSchemas: texts})
	if err != nil {
		t.Fatalf("%s: %v", e.Event, err)
	}
	neverNull(s)
	s.Description = e.About
	name := any(e.Event)
	s.Properties["event"] = &jsonschema.Schema{Const: &name}
	s.Properties["time"].Format = "date-time"
	return s
}

// neverNull removes null from the types, because a field without a value is left out.
func neverNull(s *jsonschema.Schema) {
	if s == nil {
		return
	}
	if s.Types = slices.DeleteFunc(s.Types, func(t string) bool { return t == "null" }); len(s.Types) == 1 {
		s.Type, s.Types = s.Types[0], nil
	}
	for _, p := range s.Properties {
		neverNull(p)
	}
	neverNull(s.Items)
}

// schema returns the content of schemaFile.
func schema(t *testing.T) []byte {
	t.Helper()
	root := &jsonschema.Schema{
		Schema:      "https://json-schema.org/draft/2020-12/schema",
		Title:       "seedbed --json",
		Description: "One line on stdout. Generated from package node/view by: go test ./node/view -run Schema -update",
		Defs:        map[string]*jsonschema.Schema{},
	}
	for _, e := range Table {
		root.Defs[e.Event] = schemaOf(t, e)
		root.OneOf = append(root.OneOf, &jsonschema.Schema{Ref: "#/$defs/" + e.Event})
	}
	b, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

func TestTheSchemaIsUpToDate(t *testing.T) {
	want := schema(t)
	if *update {
		if err := os.WriteFile(schemaFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is out of date: run go test ./node/view -run Schema -update", schemaFile)
	}
}

// A program can read a field without looking at the event first.
func TestEachFieldNameHasOneType(t *testing.T) {
	types := map[string]string{} // field name to its type and location
	var walk func(where string, s *jsonschema.Schema)
	walk = func(where string, s *jsonschema.Schema) {
		for name, p := range s.Properties {
			typ := p.Type
			if name == "event" {
				typ = "string"
			}
			if typ == "" {
				t.Errorf("%s.%s has no type", where, name)
			}
			if had, twice := types[name]; twice && strings.Fields(had)[0] != typ {
				t.Errorf("%s.%s is of type %s, and is %s", where, name, typ, had)
			}
			types[name] = typ + " in " + where
			walk(where+"."+name, p)
		}
		if s.Items != nil {
			walk(where+"[]", s.Items)
		}
	}
	for _, e := range Table {
		walk(e.Event, schemaOf(t, e))
	}
}

// The table lists each kind of object once.
func TestTheTableIsComplete(t *testing.T) {
	if len(names) != len(Table) {
		t.Errorf("%d types for %d rows", len(names), len(Table))
	}
	seen := map[string]bool{}
	for _, e := range Table {
		if seen[e.Event] || !strings.HasSuffix(e.About, ".") {
			t.Errorf("%q is listed twice, or has no description: %q", e.Event, e.About)
		}
		seen[e.Event] = true
	}
}

// The manual lists every event with its fields.
func TestTheManualListsEveryEvent(t *testing.T) {
	manual, err := os.ReadFile("../../docs/manual.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range Table {
		if !bytes.Contains(manual, []byte("`"+e.Event+"`")) {
			t.Errorf("docs/manual.md lacks %s", e.Event)
		}
		for name := range schemaOf(t, e).Properties {
			if !bytes.Contains(manual, []byte("`"+name+"`")) {
				t.Errorf("docs/manual.md lacks the field %s of %s", name, e.Event)
			}
		}
	}
}

// Every kind of event has an object, except Changed: the object of the torrent says what has
// changed.
func TestEveryEventHasAnObject(t *testing.T) {
	for _, k := range node.EventKinds() {
		if k == node.Changed {
			continue
		}
		e := node.Event{Kind: k, Time: time.Now(), Err: errors.New("x"), Info: &metainfo.Info{}, Publication: &node.PublicationEvent{}, Reachability: &node.Reachability{}}
		o := Event(&e, func(error) string { return "" })
		if o == nil {
			t.Errorf("event %d has none", k)
			continue
		}
		Complete(o, e.Time)
	}
}
