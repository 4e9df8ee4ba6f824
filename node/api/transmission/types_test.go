package transmission

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"seedbed/node/daemon/token"
)

// torrentTypes is the table of fields in Transmission's docs/rpc-spec.md, and those that only its
// code has.
const torrentTypes = `
integer activity_date added_date bandwidth_priority corrupt_ever date_created desired_available done_date downloaded_ever download_limit edit_date
integer error eta eta_idle file_count have_unchecked have_valid id left_until_done manual_announce_time max_connected_peers peer_limit
integer peers_connected peers_getting_from_us peers_sending_to_us piece_count piece_size queue_position rate_download rate_upload
integer seconds_downloading seconds_seeding seed_idle_limit seed_idle_mode seed_ratio_mode sequential_download_from_piece size_when_done
integer start_date status total_size uploaded_ever upload_limit webseeds_sending_to_us
double metadata_percent_complete percent_complete percent_done recheck_progress seed_ratio_limit upload_ratio
boolean download_limited honors_session_limits is_finished is_private is_stalled sequential_download upload_limited
string comment creator download_dir error_string group hash_string magnet_link name pieces primary_mime_type source torrent_file tracker_list
array availability bytes_completed files file_stats labels peers priorities trackers tracker_stats wanted webseeds webseeds_ex
object peers_from`

const sessionTypes = `
integer alt_speed_down alt_speed_time_begin alt_speed_time_day alt_speed_time_end alt_speed_up anti_brute_force_threshold blocklist_size cache_size_mib
integer download_dir_free_space download_queue_size idle_seeding_limit peer_limit_global peer_limit_per_torrent peer_port queue_stalled_minutes reqq
integer rpc_version rpc_version_minimum seed_queue_size speed_limit_down speed_limit_up
double seed_ratio_limit
boolean alt_speed_enabled alt_speed_time_enabled anti_brute_force_enabled blocklist_enabled dht_enabled download_queue_enabled
boolean idle_seeding_limit_enabled incomplete_dir_enabled lpd_enabled peer_port_random_on_start pex_enabled port_forwarding_enabled
boolean queue_stalled_enabled rename_partial_files script_torrent_added_enabled script_torrent_done_enabled script_torrent_done_seeding_enabled
boolean seed_queue_enabled seed_ratio_limited sequential_download speed_limit_down_enabled speed_limit_up_enabled start_added_torrents tcp_enabled
boolean trash_original_torrent_files utp_enabled
string blocklist_url config_dir default_trackers download_dir encryption incomplete_dir rpc_version_semver script_torrent_added_filename
string script_torrent_done_filename script_torrent_done_seeding_filename session_id version
array preferred_transports
object units`

func typesOf(table string) map[string]string {
	types := map[string]string{}
	for line := range strings.Lines(table) {
		if words := strings.Fields(line); len(words) > 0 {
			for _, name := range words[1:] {
				types[name] = words[0]
			}
		}
	}
	return types
}

// typeOf returns the type of a value of JSON. An integer has neither a fraction nor an exponent:
// clients decode it strictly.
func typeOf(v json.RawMessage) string {
	switch v[0] {
	case '"':
		return "string"
	case '[':
		return "array"
	case '{':
		return "object"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	}
	if strings.ContainsAny(string(v), ".eE") {
		return "double"
	}
	return "integer"
}

// fits reports whether a value has the type: a double may have no fraction.
func fits(got, want string) bool { return got == want || got == "integer" && want == "double" }

// Every field of the specification is answered in both dialects with its type, for a torrent with
// everything, a paused one, and one without metadata.
func TestEveryFieldHasItsType(t *testing.T) {
	x := newTranscript(t)
	for _, add := range []string{`"metainfo":"FILM"`, `"metainfo":"BOOK","paused":true`, `"filename":"abababababababababababababababababababab"`} {
		x.post(token.Add, x.in.Replace(`{"method":"torrent-add","arguments":{`+add+`}}`))
	}
	x.wait("1")
	want := typesOf(torrentTypes)
	for _, d := range []dialect{legacy, jsonRPC} {
		names := map[string]string{}
		for name := range want {
			names[d.inTorrent(name)] = name
		}
		fields, _ := json.Marshal(slices.Sorted(maps.Keys(names)))
		for _, torrent := range x.get(d, string(fields)) {
			if len(torrent) != len(want) {
				t.Errorf("%d fields of %d", len(torrent), len(want))
			}
			for name, v := range torrent {
				if got := typeOf(v); !fits(got, want[names[name]]) {
					t.Errorf("%s is %s: %s", name, got, v)
				}
			}
		}
	}
	if len(torrentFields) != len(want) {
		t.Errorf("%d fields, %d in the specification", len(torrentFields), len(want))
	}
}

// get returns the fields of all torrents.
func (x *transcript) get(d dialect, fields string) []map[string]json.RawMessage {
	x.t.Helper()
	body := `{"method":"torrent-get","arguments":{"fields":` + fields + `}}`
	if d == jsonRPC {
		body = `{"jsonrpc":"2.0","id":1,"method":"torrent_get","params":{"fields":` + fields + `}}`
	}
	var answer map[string]json.RawMessage
	if err := json.Unmarshal(x.post(token.Read, body).Body.Bytes(), &answer); err != nil {
		x.t.Fatal(err)
	}
	var list struct{ Torrents []map[string]json.RawMessage }
	if err := json.Unmarshal(answer[resultKey[d]], &list); err != nil || len(list.Torrents) == 0 {
		x.t.Fatal(err, len(list.Torrents))
	}
	return list.Torrents
}

func TestEverySettingHasItsType(t *testing.T) {
	r := newRig(t)
	want := typesOf(sessionTypes)
	for _, d := range []dialect{legacy, jsonRPC} {
		body := []string{`{"method":"session-get"}`, `{"jsonrpc":"2.0","id":1,"method":"session_get"}`}[d]
		var answer map[string]json.RawMessage
		if err := json.Unmarshal(r.post(token.Read, body).Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		var settings map[string]json.RawMessage
		if err := json.Unmarshal(answer[resultKey[d]], &settings); err != nil {
			t.Fatal(err)
		}
		for name, wantType := range want {
			v, ok := settings[d.in(name)]
			switch {
			case !ok:
				t.Errorf("there is no %s", d.in(name))
			case !fits(typeOf(v), wantType):
				t.Errorf("%s is %s: %s", d.in(name), typeOf(v), v)
			}
		}
		if len(settings) != len(want) {
			t.Errorf("%d settings, %d in the specification", len(settings), len(want))
		}
	}
}

// Each method needs a scope, and no method is missing here or there.
func TestEveryMethodChecksItsScope(t *testing.T) {
	want := typesOf(`
read torrent_get session_get session_stats free_space port_test group_get
add torrent_add torrent_set torrent_start torrent_start_now torrent_stop torrent_verify torrent_reannounce
add queue_move_top queue_move_up queue_move_down queue_move_bottom
admin torrent_remove torrent_set_location torrent_rename_path session_set session_close blocklist_update group_set`)
	r := newRig(t)
	for name, scope := range want {
		if name == "session_close" { // would end the daemon
			continue
		}
		need, err := token.ParseScope(scope)
		if err != nil {
			t.Fatal(err)
		}
		for s := range r.tokens {
			for _, body := range []string{`{"jsonrpc":"2.0","id":1,"method":%q}`, `{"jsonrpc":"2.0","id":1,"method":%q,"params":{"ids":[]}}`} {
				var answer struct{ Error *struct{ Code code } }
				if err := json.Unmarshal(r.post(s, fmt.Sprintf(body, name)).Body.Bytes(), &answer); err != nil {
					t.Fatal(err)
				}
				switch {
				case answer.Error != nil && answer.Error.Code == unknownMethod:
					t.Errorf("there is no %s", name)
				case (answer.Error != nil && answer.Error.Code == notAllowed) != (s < need):
					t.Errorf("%s with the scope %v: %+v", name, s, answer.Error)
				}
			}
		}
	}
	for name := range methods {
		if want[name] == "" {
			t.Errorf("%s has no row in this test", name)
		}
	}
}

func TestSessionCloseEndsTheDaemon(t *testing.T) {
	r := newRig(t)
	r.post(token.Add, `{"method":"session-close"}`)
	select {
	case <-r.closed:
		t.Fatal("a token of the scope add has ended it")
	default:
	}
	r.post(token.Admin, `{"method":"session-close"}`)
	<-r.closed
}
