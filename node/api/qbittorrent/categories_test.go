package qbittorrent

import "testing"

// The parent of a subcategory is a category, and its list contains the torrents of the subcategory.
func TestSubcategoriesAreListedWithTheirParent(t *testing.T) {
	r := newRig(t)
	r.login()
	if code, body := r.post("torrents/createCategory", "category=film/short&savePath="); code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	r.post("torrents/createCategory", "category=filmed&savePath=")
	r.post("torrents/add", "stopped=true&category=film/short&urls="+magnet)
	var all map[string]any
	r.object("torrents/categories", &all)
	if len(all) != 3 || all["film"] == nil {
		t.Errorf("%v", all)
	}
	for category, want := range map[string]int{"film": 1, "film/short": 1, "filmed": 0, "": 0} {
		var list []map[string]any
		if r.object("torrents/info?category="+category, &list); len(list) != want {
			t.Errorf("%q has %d torrents, not %d", category, len(list), want)
		}
	}
}
