package engine

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
)

// lineChart plots a quantity over a count that doubles from tick to tick. It renders to
// an SVG that describes its content in words, distinguishes series by shape as well as
// colour, and follows the reader's light or dark scheme.
type lineChart struct {
	title, subtitle string
	description     string // text alternative
	xLabel, yLabel  string
	series          []chartSeries
}

// chartSeries is a set of points. style is one of the classes of chartStyle. The label is
// on the right at the height of the last point, next to a sample of line and marker.
type chartSeries struct {
	label, style string
	line         bool // connects the points
	marker       chartMarker
	points       []chartPoint
}

// chartPoint has the range low to high if it is a median of several measurements.
type chartPoint struct {
	x         int
	y         float64
	low, high float64
}

type chartMarker int

const (
	noMarker chartMarker = iota
	disc
	ring // visible around a disc, too
	square
)

// Dimensions in pixels. The right margin holds the labels of the series.
const (
	chartWidth, chartHeight = 830, 430
	chartLeft, chartRight   = 64, 260
	chartTop, chartBottom   = 76, 58
)

// The colours have a contrast of at least 4.5 to the background, and differ in brightness
// for readers who cannot distinguish blue from orange.
const chartStyle = `
    text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; fill: #1f2328 }
    .title { font-size: 16px; font-weight: 600 }
    .minor { fill: #59636e }
    .back { fill: #ffffff }
    .grid { stroke: #d1d9e0; stroke-width: 1 }
    .axis { stroke: #59636e; stroke-width: 1 }
    .range { stroke-width: 1.5 }
    polyline { fill: none; stroke-width: 2 }
    .dashed polyline { stroke-dasharray: 6 4 }
    .dotted polyline { stroke-dasharray: 2 4; stroke-width: 1.5 }
    .blue { stroke: #0a53b5; fill: #0a53b5 }
    .orange { stroke: #bc4c00; fill: #bc4c00 }
    .grey { stroke: #59636e; fill: #59636e }
    .series text { fill: inherit; stroke: none; font-weight: 500 }
    .open { fill: none; stroke-width: 1.5 }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc }
      .minor { fill: #9198a1 }
      .back { fill: #0d1117 }
      .grid { stroke: #2f353d }
      .axis { stroke: #9198a1 }
      .blue { stroke: #6cb0ff; fill: #6cb0ff }
      .orange { stroke: #f0883e; fill: #f0883e }
      .grey { stroke: #9198a1; fill: #9198a1 }
    }
`

// svg returns the drawing. The same chart gives the same bytes.
func (c *lineChart) svg() []byte {
	var xs []int
	var top float64
	for _, s := range c.series {
		for _, p := range s.points {
			xs = append(xs, p.x)
			top = max(top, p.y, p.high)
		}
	}
	slices.Sort(xs)
	xs = slices.Compact(xs)
	step := chartStep(top)
	top = math.Ceil(top/step+0.2) * step
	first, last := math.Log2(float64(xs[0])), math.Log2(float64(xs[len(xs)-1]))
	atX := func(x int) float64 {
		return chartLeft + (math.Log2(float64(x))-first)/max(last-first, 1)*(chartWidth-chartLeft-chartRight)
	}
	atY := func(y float64) float64 { return chartHeight - chartBottom - y/top*(chartHeight-chartTop-chartBottom) }

	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%[1]d" height="%[2]d" role="img" aria-labelledby="title desc">
  <title id="title">%s</title>
  <desc id="desc">%s</desc>
  <style>%s  </style>
  <rect class="back" width="%[1]d" height="%[2]d" rx="6"/>
  <text class="title" x="%[6]d" y="32">%[3]s</text>
  <text class="minor" x="%[6]d" y="52">%[7]s</text>
`, chartWidth, chartHeight, escapeXML(c.title), escapeXML(c.description), chartStyle, 24, escapeXML(c.subtitle))
	const right, bottom = chartWidth - chartRight, chartHeight - chartBottom
	for y := 0.0; y <= top; y += step {
		class := "grid"
		if y == 0 {
			class = "axis"
		}
		fmt.Fprintf(&b, `  <path class="%s" d="M%d %.1fH%d"/><text class="minor" x="%d" y="%.1f" text-anchor="end">%g</text>`+"\n",
			class, chartLeft, atY(y), right, chartLeft-8, atY(y)+4.5, y)
	}
	for _, x := range xs {
		fmt.Fprintf(&b, `  <path class="axis" d="M%.1f %dv5"/><text class="minor" x="%[1]g" y="%[3]d" text-anchor="middle">%[4]d</text>`+"\n",
			round1(atX(x)), bottom, bottom+21, x)
	}
	fmt.Fprintf(&b, `  <text class="minor" x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", (chartLeft+right)/2, chartHeight-14, escapeXML(c.xLabel))
	fmt.Fprintf(&b, `  <text class="minor" transform="translate(20 %d) rotate(-90)" text-anchor="middle">%s</text>`+"\n", (chartTop+bottom)/2, escapeXML(c.yLabel))

	labels := spreadLabels(c.series, atY)
	for i, s := range c.series {
		if len(s.points) == 0 {
			continue
		}
		fmt.Fprintf(&b, `  <g class="series %s">`+"\n", s.style)
		if s.line {
			b.WriteString(`    <polyline points="`)
			for _, p := range s.points {
				fmt.Fprintf(&b, "%.1f,%.1f ", atX(p.x), atY(p.y))
			}
			b.WriteString("\"/>\n")
		}
		for _, p := range s.points {
			title := fmt.Sprintf("%d: %.1f s", p.x, p.y)
			if p.low < p.high {
				fmt.Fprintf(&b, `    <path class="range" d="M%.1f %.1fV%.1f"/>`+"\n", atX(p.x), atY(p.low), atY(p.high))
				title += fmt.Sprintf(" (%.1f to %.1f s)", p.low, p.high)
			}
			s.marker.draw(&b, atX(p.x), atY(p.y), title)
		}
		const sample = right + 14
		if s.line {
			fmt.Fprintf(&b, `    <polyline points="%d,%.1f %d,%.1f"/>`+"\n", sample, labels[i], sample+28, labels[i])
		}
		s.marker.draw(&b, sample+14, labels[i], s.label)
		fmt.Fprintf(&b, `    <text x="%d" y="%.1f">%s</text>`+"\n  </g>\n", sample+36, labels[i]+4.5, escapeXML(s.label))
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// draw draws the marker at x and y. Its title is a tooltip.
func (m chartMarker) draw(b *bytes.Buffer, x, y float64, title string) {
	title = escapeXML(title)
	switch m {
	case disc:
		fmt.Fprintf(b, `    <circle cx="%.1f" cy="%.1f" r="4"><title>%s</title></circle>`+"\n", x, y, title)
	case ring:
		fmt.Fprintf(b, `    <circle class="open" cx="%.1f" cy="%.1f" r="7"><title>%s</title></circle>`+"\n", x, y, title)
	case square:
		fmt.Fprintf(b, `    <rect x="%.1f" y="%.1f" width="9" height="9"><title>%s</title></rect>`+"\n", x-4.5, y-4.5, title)
	}
}

// chartStep returns the distance of grid lines, such that there are four to eight.
func chartStep(top float64) float64 {
	step := math.Pow(10, math.Floor(math.Log10(top/4)))
	for _, f := range []float64{1, 2, 5, 10} {
		if top/(step*f) <= 8 {
			return step * f
		}
	}
	return step * 10
}

// spreadLabels returns the height of each series' label: that of its last point, moved
// where labels would overlap.
func spreadLabels(series []chartSeries, atY func(float64) float64) []float64 {
	const line = 18
	y, order := make([]float64, len(series)), []int{}
	for i, s := range series {
		if len(s.points) > 0 {
			y[i], order = atY(s.points[len(s.points)-1].y), append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return int(math.Copysign(1, y[a]-y[b])) })
	for range 2 * len(series) {
		for k := 1; k < len(order); k++ {
			if a, b := order[k-1], order[k]; y[b]-y[a] < line {
				mid := (y[a] + y[b]) / 2
				y[a], y[b] = mid-line/2.0, mid+line/2.0
			}
		}
	}
	return y
}

func round1(v float64) float64 { return math.Round(v*10) / 10 }

func escapeXML(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s))
	return b.String()
}

// checkXML fails unless p is one well-formed document.
func checkXML(t *testing.T, p []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(p))
	for {
		if _, err := d.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatalf("the chart is not valid XML: %v", err)
		}
	}
}

// Text in a chart is escaped, its scale covers all points, and labels do not overlap.
func TestChartShowsItsData(t *testing.T) {
	c := lineChart{title: "a < b & c", xLabel: "x", yLabel: "y", series: []chartSeries{
		{label: "one", style: "blue", line: true, marker: disc, points: []chartPoint{{x: 4, y: 30}, {x: 64, y: 32}}},
		{label: "two", style: "orange", marker: square, points: []chartPoint{{x: 4, y: 31, low: 30, high: 33}, {x: 64, y: 33}}},
	}}
	got := c.svg()
	checkXML(t, got)
	for _, want := range []string{"a &lt; b &amp; c", ">4: 30.0 s<", ">4: 31.0 s (30.0 to 33.0 s)<", ">64: 33.0 s<"} {
		if !bytes.Contains(got, []byte(want)) {
			t.Errorf("the chart lacks %q", want)
		}
	}
	y := spreadLabels(c.series, func(v float64) float64 { return -v })
	if math.Abs(y[0]-y[1]) < 16 {
		t.Errorf("labels at %.1f and %.1f overlap", y[0], y[1])
	}
	for _, top := range []float64{0.9, 8, 33, 91, 110, 4000} {
		if n := top / chartStep(top); n < 3 || n > 8 {
			t.Errorf("%.1f grid lines up to %g", n, top)
		}
	}
}
