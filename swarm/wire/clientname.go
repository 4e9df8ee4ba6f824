package wire

import (
	"strconv"
	"strings"

	"seedbed/internal/id"
)

// clientNames maps the codes in the peer ids of well-known clients to their names (BEP 20).
var clientNames = map[string]string{
	"7T": "aTorrent", "A2": "aria2", "AG": "Ares", "AZ": "Vuze", "BC": "BitComet", "BG": "BTGet", "BI": "BiglyBT", "BL": "BitLord", "BT": "BitTorrent",
	"BW": "BitWombat", "CT": "CTorrent", "DE": "Deluge", "FD": "Free Download Manager", "FW": "FrostWire", "GT": "anacrolix/torrent", "HL": "Halite",
	"JT": "JavaTorrent", "KG": "KGet", "KT": "KTorrent", "LP": "Lphant", "LT": "libtorrent", "lt": "rTorrent", "LW": "LimeWire", "MG": "MediaGet",
	"ML": "MLDonkey", "PI": "PicoTorrent", "qB": "qBittorrent", "RN": "rain", "rQ": "rqbit", "SB": "seedbed", "SD": "Xunlei", "TB": "Torch", "TE": "terasaur",
	"TL": "Tribler", "TR": "Transmission", "TT": "TuoTu", "TX": "Tixati", "UM": "µTorrent for Mac", "UT": "µTorrent", "UW": "µTorrent Web",
	"WW": "WebTorrent", "WD": "WebTorrent Desktop", "XL": "Xunlei", "ZO": "Zona",
}

// ClientName returns the name and version of a client as its peer id states them, such as
// "qBittorrent 4.5.2". It returns "" for a peer id of another form than -XX1234- (BEP 20). The
// result is ASCII except for known names, and at most 40 bytes long.
func ClientName(peer id.ID) string {
	if peer[0] != '-' || peer[7] != '-' {
		return ""
	}
	code := string(peer[1:3])
	for i := range code {
		if !isAlphanumeric(code[i]) {
			return ""
		}
	}
	name := clientNames[code]
	if name == "" {
		name = code
	}
	return strings.TrimSuffix(name+" "+clientVersion(peer[3:7]), " ")
}

// clientVersion returns the version in a peer id: each character is a number, where A is 10.
// Zeros at the end are left out beyond the second number, and so is anything after a character of
// another kind, which marks a test version.
func clientVersion(b []byte) string {
	var numbers []string
	for _, c := range b {
		n := strings.IndexByte("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", c)
		if n < 0 {
			break
		}
		numbers = append(numbers, strconv.Itoa(n))
	}
	for len(numbers) > 2 && numbers[len(numbers)-1] == "0" {
		numbers = numbers[:len(numbers)-1]
	}
	return strings.Join(numbers, ".")
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}
