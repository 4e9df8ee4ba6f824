//go:build linux

package integration

import (
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"seedbed/node/api"
	"seedbed/node/view"
)

// sparse makes a file of n pieces of 16 KiB, all zero, in a new folder, and a .torrent file that has other content for the pieces missing.
func sparse(t *testing.T, dir, name string, n int, missing ...int) []byte {
	t.Helper()
	const piece = 16 << 10
	must(t, os.MkdirAll(dir, 0o755))
	f, err := os.Create(filepath.Join(dir, name))
	must(t, err)
	must(t, f.Truncate(int64(n)*piece))
	must(t, f.Close())
	zero := sha1.Sum(make([]byte, piece))
	hashes := []byte(strings.Repeat(string(zero[:]), n))
	for _, k := range missing {
		hashes[k*len(zero)]++
	}
	return bencode(nil, map[string]any{"info": map[string]any{"name": name, "length": n * piece, "piece length": piece, "pieces": string(hashes)}})
}

// at returns where the square of a piece is on the screen, when a square is several pieces or the squares fill the map.
const at = `(([piece]) => {
	const canvas = document.querySelector(".pieces-grid canvas");
	canvas.scrollIntoView({ block: "center" });
	const part = /Pieces ([\d,]+) to ([\d,]+) of/.exec(document.querySelector(".pieces-text").textContent);
	const [from, last] = part ? part.slice(1).map((n) => Number(n.replaceAll(",", ""))) : [0, 99999];
	const cell = 11, columns = canvas.clientWidth / cell, rows = canvas.clientHeight / cell;
	const pieces = last + 1 - from, count = Math.min(pieces, columns * rows);
	let i = 0;
	while (i + 1 < count && from + Math.floor((pieces * (i + 1)) / count) <= piece) i++;
	const r = canvas.getBoundingClientRect();
	return [r.left + (i %% columns) * cell + 5, r.top + Math.floor(i / columns) * cell + 5];
})([%d])`

// The piece map says what a square stands for. In a torrent of 100,000 pieces one can look closer, by mouse and by keyboard, until a square is
// one piece.
func TestPageShowsPieces(t *testing.T) {
	t.Parallel()
	p := openPage(t, "10.4.207.1")
	ctx := p.webPage.ctx
	node, err := p.rest.Node(ctx)
	must(t, err)
	const lacks = 54_321
	add := func(content []byte, name string) string {
		t.Helper()
		o, _, err := p.rest.Add(ctx, api.AddBody{Torrent: content, Dir: filepath.Join(node.Dir, name)})
		must(t, err)
		return o.InfoHash
	}
	hundred := add(sparse(t, filepath.Join(node.Dir, "hundred"), "hundred.bin", 100, 3, 4, 99), "hundred")
	large := add(sparse(t, filepath.Join(node.Dir, "large"), "large.bin", 100_000, lacks), "large")
	const (
		text  = `document.querySelector(".pieces-text").textContent`
		scale = `document.querySelector(".pieces-bar").textContent`
		where = `document.querySelector("#piece-at").textContent`
	)
	p.untilTorrent("the check", hundred, func(o *view.Torrent) bool { return o.State == "downloading" && o.Have == 97*16<<10 })
	p.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`void (location.hash = "#/torrents/%s/pieces")`, hundred)))
	p.until("the pieces", text, "97 of 100 pieces verified")
	p.until("what a square is", scale, "A square is one piece.")
	p.do(chromedp.Focus(chromedp.CSS(".pieces-grid")))
	p.press(kb.Home + kb.ArrowRight + kb.ArrowRight + kb.ArrowRight)
	p.until("a missing piece", where, "Piece 3: missing")
	p.press(kb.End)
	p.until("the last piece", where, "Piece 99: missing")
	p.inEveryLook("100 pieces", p.accessible)

	p.untilTorrent("the check of the large one", large, func(o *view.Torrent) bool { return o.State == "downloading" && o.Have == 99_999*16<<10 })
	p.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`void (location.hash = "#/torrents/%s/pieces")`, large)))
	for _, width := range []int64{1280, 390} {
		p.look(width, 800, width == 390)
		p.until("all pieces", text, "99,999 of 100,000 pieces verified")
		p.until("what a square is", scale, "or ")
		p.accessible(fmt.Sprintf("100,000 pieces at %d px", width))

		// By mouse: a click on the square with the piece, until a square is a piece.
		for evaluate[bool](p.webPage, scale+`.includes("Click one")`) {
			before := evaluate[string](p.webPage, text)
			xy := evaluate[[]float64](p.webPage, fmt.Sprintf(at, lacks))
			p.do(chromedp.MouseClickXY(xy[0], xy[1]))
			p.until("the square with the missing piece", fmt.Sprintf(`%s !== %q && /Piece/.test(%s)`, text, before, text), "true")
			from, to := 0, 0
			fmt.Sscanf(strings.ReplaceAll(evaluate[string](p.webPage, text), ",", ""), "Pieces %d to %d", &from, &to)
			b, err := p.send(ctx, "GET", fmt.Sprintf("/v1/torrents/%s/pieces?buckets=1&from=%d&to=%d", large, from, to+1), "", nil)
			must(t, err)
			var m api.PieceMap
			must(t, json.Unmarshal(b, &m))
			if from > lacks || to < lacks || m.Buckets.Have[0] != to-from {
				t.Fatalf("pieces %d to %d are shown, of which %d are verified", from, to, m.Buckets.Have[0])
			}
		}
		p.until("what a square is now", scale, "A square is one piece.")
		xy := evaluate[[]float64](p.webPage, fmt.Sprintf(at, lacks))
		p.do(chromedp.MouseEvent("mouseMoved", xy[0], xy[1]))
		p.until("the missing piece", where, "Piece 54,321: missing")
		p.accessible(fmt.Sprintf("the part with a missing piece at %d px", width))

		// By keyboard: the part before it, all, and closer to the last piece.
		part := evaluate[string](p.webPage, text)
		p.do(chromedp.Focus(chromedp.CSS(".pieces-grid")))
		p.press(kb.PageUp)
		p.until("the part before", fmt.Sprintf(`%s !== %q && !%s.includes("missing")`, text, part, text), "true")
		p.press("-")
		p.press("-")
		p.press("-")
		p.until("all pieces again", text, "99,999 of 100,000 pieces verified")
		p.press(kb.End)
		p.until("the last square", where, "to 99,999: ")
		p.press("+")
		p.until("the last part", text, "to 99,999 of 100,000")
		p.press(kb.Enter)
		p.click(`.pieces-bar button[aria-label="All pieces"]`)
		p.until("all pieces by the button", text, "99,999 of 100,000 pieces verified")
	}
	p.noErrors()
}
