package node

import (
	"slices"
	"strings"
	"testing"

	"seedbed/magnet"
	"seedbed/magnet/metainfo"
)

// TestSelectionNumbersSkipPadding checks that a number selects the file that show
// lists under it, and that padding cannot be selected.
func TestSelectionNumbersSkipPadding(t *testing.T) {
	info, err := metainfo.ParseInfo([]byte("d5:filesld6:lengthi1e4:pathl1:aeed4:attr1:p6:lengthi15e4:pathl4:.pad2:15ee" +
		"d6:lengthi1e4:pathl1:beed4:attr1:p6:lengthi15e4:pathl4:.pad2:15eed6:lengthi1e4:pathl1:ceee" +
		"4:name1:n12:piece lengthi16e6:pieces60:" + strings.Repeat("x", 60) + "e"))
	if err != nil {
		t.Fatal(err)
	}
	link := func(r ...magnet.Range) *magnet.Link { return &magnet.Link{Select: r} }
	for _, c := range []struct {
		spec Spec
		want []int // indices in Files; nil: an error
	}{
		{Spec{Select: []int{2}}, []int{2}},
		{Spec{Select: []int{1, 3}}, []int{0, 4}},
		{Spec{Select: []int{4}}, nil},
		{Spec{Select: []int{0}}, nil},
		{Spec{Link: link(magnet.Range{First: 0, Last: 3})}, []int{0, 2}},
		{Spec{Link: link(magnet.Range{First: 1, Last: 1})}, nil},
	} {
		got, err := c.spec.files(info)
		if !slices.Equal(got, c.want) || (err == nil) != (c.want != nil) {
			t.Errorf("%+v: %v, %v", c.spec, got, err)
		}
	}
}
