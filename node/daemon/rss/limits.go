package rss

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"slices"

	"github.com/mmcdole/gofeed"
	"golang.org/x/net/html/charset"
)

const (
	// maxDepth and maxElements limit a feed. The parser calls itself for each level and keeps maps
	// for each element: 8 MiB of tags would take a gigabyte of stack, where the program ends.
	maxDepth    = 100
	maxElements = 200_000

	// detected is how much of a feed the parser looks at to find out whether it is JSON.
	detected = 4096
)

// isIllegal reports whether a byte is a control character that XML does not allow. The parser
// leaves them out.
func isIllegal(c byte) bool { return c < ' ' && c != '\t' && c != '\n' && c != '\r' }

// checkSize returns an error if a feed in XML is nested too deeply or has too many elements. It reads
// the feed as the parser does.
func checkSize(b []byte) error {
	if gofeed.DetectFeedType(bytes.NewReader(b[:min(len(b), detected)])) == gofeed.FeedTypeJSON {
		return nil // that parser has a limit
	}
	d := xml.NewDecoder(bytes.NewReader(slices.DeleteFunc(bytes.Clone(b), isIllegal)))
	d.Strict, d.CharsetReader = false, charset.NewReaderLabel
	depth, elements := 0, 0
	for {
		token, err := d.Token()
		if err != nil {
			return nil // the parser ends here too
		}
		switch token.(type) {
		case xml.StartElement:
			depth++
			elements++
		case xml.EndElement:
			depth--
		}
		switch {
		case depth > maxDepth:
			return fmt.Errorf("its elements are nested more than %d deep", maxDepth)
		case elements > maxElements:
			return fmt.Errorf("it has more than %d elements", maxElements)
		}
	}
}
