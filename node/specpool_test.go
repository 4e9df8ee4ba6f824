package node

import (
	"fmt"
	"reflect"
	"testing"

	"seedbed/magnet"
	"seedbed/magnet/metainfo"
)

// Two Specs are shared only if they are equal in every field.
func TestOnlyEqualSpecsAreShared(t *testing.T) {
	plain := func() *Spec { return &Spec{Dir: "/data", Labels: []string{"a", "b"}} }
	var p specPool
	first := p.share(plain())
	if p.share(plain()) != first {
		t.Error("equal Specs are not shared")
	}
	values := map[string]any{
		"Link": new(magnet.Link), "Torrent": new(metainfo.Torrent), "Dir": "/other", "FinalDir": "/final", "store": "s3://bucket", "Category": "films", "Select": []int{1}, "Peers": []string{"a:1"},
		"ReadAhead": int64(1), "Labels": []string{"a\nb"}, "UpRate": int64(1), "DownRate": int64(1), "Goals": Goals{Ratio: 1}, "Priorities": Priorities{High: []int{1}}, "Order": Order{From: 1}, "MaxPeers": 1, "Naming": &Naming{Name: "n"}, "Prepare": func(*metainfo.Info) error { return nil },
	}
	for i := range reflect.TypeFor[Spec]().NumField() {
		f := reflect.TypeFor[Spec]().Field(i)
		value := values[f.Name]
		if f.Type.Kind() == reflect.Bool {
			value = true
		}
		if value == nil {
			t.Fatalf("the test has no value for %s", f.Name)
		}
		s := plain()
		field := reflect.ValueOf(s).Elem().Field(i)
		reflect.NewAt(f.Type, field.Addr().UnsafePointer()).Elem().Set(reflect.ValueOf(value)) // also if it is not exported
		if got := p.share(s); !reflect.DeepEqual(fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", s)) {
			t.Errorf("with another %s it became %+v", f.Name, got)
		}
	}
}

// The pool does not grow for ever.
func TestThePoolOfSpecsIsBounded(t *testing.T) {
	var p specPool
	for i := range 3 * maxPooled {
		p.share(&Spec{Dir: fmt.Sprint(i)})
		if len(p.specs) > maxPooled {
			t.Fatalf("%d Specs", len(p.specs))
		}
	}
}
