package api

import (
	"encoding/xml"
	"fmt"
	"strings"
	"testing"

	"rsc.io/qr"
)

// The picture has the modules of the code, with a margin.
func TestThePictureIsTheCode(t *testing.T) {
	for _, text := range []string{"x", "magnet:?xs=urn:btpk:" + strings.Repeat("ab", 32), strings.Repeat("\xff<&\"", maxQR/4)} {
		code, err := qr.Encode(text, qr.M)
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			ViewBox string `xml:"viewBox,attr"`
			Paths   []struct {
				D string `xml:"d,attr"`
			} `xml:"path"`
		}
		if err := xml.Unmarshal(svgOf(code), &doc); err != nil || len(doc.Paths) != 2 {
			t.Fatalf("%v: %+v", err, doc)
		}
		size := code.Size + 2*quietZone
		if want := fmt.Sprintf("0 0 %d %d", size, size); doc.ViewBox != want {
			t.Errorf("%s, not %s", doc.ViewBox, want)
		}
		black := map[[2]int]bool{}
		for _, p := range strings.SplitAfter(doc.Paths[1].D, "z") {
			var x, y, run, back int
			if p == "" {
				continue
			}
			if _, err := fmt.Sscanf(p, "M%d %dh%dv1h-%dz", &x, &y, &run, &back); err != nil || run != back {
				t.Fatalf("%q: %v", p, err)
			}
			for k := range run {
				black[[2]int{x + k, y}] = true
			}
		}
		for y := range size {
			for x := range size {
				if black[[2]int{x, y}] != code.Black(x-quietZone, y-quietZone) {
					t.Fatalf("the module at %d, %d differs", x, y)
				}
			}
		}
	}
}
