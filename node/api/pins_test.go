package api_test

import (
	"strings"
	"testing"

	"seedbed/node"
)

// Pins and subscriptions are added, listed, changed and removed.
func TestPins(t *testing.T) {
	r := newRigWith(t, node.Config{Bootstrap: []string{}})
	link := "magnet:?xs=urn:btpk:" + strings.Repeat("ab", 32)
	var pin object
	if code := r.do("POST", "/v1/pins", object{"link": link, "name": "site", "quota": 1000}, &pin); code != 201 || pin["state"] != "searching" || pin["own"] != true || pin["name"] != "site" {
		t.Fatalf("%d %v", code, pin)
	}
	if code := r.do("POST", "/v1/pins", object{"link": link, "quota": 2000}, &pin); code != 200 || pin["quota"] != 2000.0 || pin["name"] != "site" {
		t.Errorf("again: %d %v", code, pin)
	}
	var list struct {
		Pins  []object
		Quota float64
	}
	if code := r.do("GET", "/v1/pins", nil, &list); code != 200 || len(list.Pins) != 1 || list.Quota != 100<<30 {
		t.Errorf("list: %d %v", code, list)
	}
	if code := r.do("PATCH", "/v1/settings", object{"pin-quota": "5K"}, nil); code != 200 || r.do("GET", "/v1/pins", nil, &list) != 200 || list.Quota != 5<<10 {
		t.Errorf("the quota is %v after the setting was changed: %d", list.Quota, code)
	}
	var problem object
	if code := r.do("POST", "/v1/follows", object{"link": link}, &problem); code != 409 || !strings.Contains(problem["detail"].(string), "pinned") {
		t.Errorf("following a pin: %d %v", code, problem)
	}
	if code := r.do("POST", "/v1/pin-lists", object{"link": link, "quota": 1}, nil); code != 409 {
		t.Errorf("subscribing to a pin: %d", code)
	}
	var sub object
	other := link + "&s=70"
	if code := r.do("POST", "/v1/pin-lists", object{"link": other, "quota": 5000}, &sub); code != 201 || sub["max"] != 100.0 {
		t.Errorf("subscribe: %d %v", code, sub)
	}
	for name, body := range map[string]object{"no quota": {"link": other}, "a torrent": {"link": "magnet:?xt=urn:btih:" + strings.Repeat("ab", 20), "quota": 1}} {
		if code := r.do("POST", "/v1/pin-lists", body, nil); code/100 != 4 {
			t.Errorf("subscribing with %s: %d", name, code)
		}
	}
	if code := r.do("DELETE", "/v1/pin-lists/"+sub["id"].(string)[:8], nil, nil); code != 204 {
		t.Errorf("unsubscribe: %d", code)
	}
	if code := r.do("DELETE", "/v1/pins/site?data=true", nil, nil); code != 204 {
		t.Errorf("remove: %d", code)
	}
	if code := r.do("DELETE", "/v1/pins/site", nil, nil); code != 404 {
		t.Errorf("removed twice: %d", code)
	}
	if code := newRig(t).do("GET", "/v1/pins", nil, &problem); code != 400 || !strings.Contains(problem["detail"].(string), "DHT") {
		t.Errorf("without a DHT: %d %v", code, problem)
	}
}
