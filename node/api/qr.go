package api

import (
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"rsc.io/qr"

	"seedbed/node"
	"seedbed/node/daemon/token"
)

const (
	// maxQR limits the text of a QR code, in bytes. A camera reads larger codes badly.
	maxQR = 1200
	// quietZone is the width of the margin of a QR code, in modules, that ISO/IEC 18004 requires.
	quietZone = 4
)

func (a *api) addQR(mux *http.ServeMux) {
	op := operation(http.MethodGet, "/v1/qr", "get-qr", "Show a text, such as a link, as a QR code", token.Read)
	op.Description = "The code is dark on light, as cameras expect, with its margin."
	op.Parameters = []*huma.Param{{Name: "text", In: "query", Required: true, Description: fmt.Sprintf("At most %d bytes.", maxQR), Schema: &huma.Schema{Type: "string"}}}
	a.addRaw(mux, op, map[string]string{"200": "The code, as a picture."}, "image/svg+xml", a.qr)
}

// qr serves a QR code.
func (a *api) qr(w http.ResponseWriter, r *http.Request) {
	text := r.URL.Query().Get("text")
	if text == "" || len(text) > maxQR {
		a.writeError(w, node.NewFault(node.FaultUsage, fmt.Errorf("the text has %d bytes, and a QR code takes 1 to %d", len(text), maxQR), "leave out the optional parts of the link"))
		return
	}
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		a.writeError(w, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "image/svg+xml")
	h.Set("Content-Security-Policy", "default-src 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "private, max-age=86400") // the same text gives the same code
	_, _ = w.Write(svgOf(code))                      // an error means that the client has gone
}

// svgOf draws a QR code, one unit a module.
func svgOf(code *qr.Code) []byte {
	size := code.Size + 2*quietZone
	b := fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h%dv%dH0z"/><path fill="#000" d="`, size, size, size, size)
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			run := 0
			for code.Black(x+run, y) { // false outside of the code
				run++
			}
			if run > 0 {
				b = fmt.Appendf(b, "M%d %dh%dv1h-%dz", x+quietZone, y+quietZone, run, run)
				x += run
			}
		}
	}
	return append(b, `"/></svg>`...)
}
