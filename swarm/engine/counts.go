package engine

// PunchCounts counts hole punches (BEP 55).
type PunchCounts struct {
	Begun     int64 // connections that we tried because a relay told us to
	Connected int64 // connections made by hole punches, by either side
	Relayed   int64 // pairs of peers to which we sent each other's address
}

// ItemOutcome says what became of an sb_item message.
type ItemOutcome uint8

const (
	ItemSent    ItemOutcome = iota
	ItemChecked             // received, and passed on to check the signature
	ItemForged              // of those, without a valid signature
	ItemKnown               // received, and we had that version or a later one
	ItemOld                 // the same, repeatedly from one peer
	ItemForeign             // received, of another publication
	ItemTooMany             // received above the limit of a peer
	NumItemOutcomes
)

// String returns the name of the outcome, as it is written in metrics.
func (o ItemOutcome) String() string {
	return [...]string{"sent", "checked", "forged", "known", "old", "foreign", "too_many"}[o]
}

// ItemCounts is the number of sb_item messages, by outcome.
type ItemCounts [NumItemOutcomes]int64

// Drops counts connections by the peer's behavior that ended them.
type Drops struct {
	BadData  int // sent wrong pieces or metadata
	Protocol int // violated the protocol
	Slow     int // did not read what we sent, or was replaced because it was not useful
	Silent   int // sent nothing for too long
}

// count counts a connection that ended for f.
func (d *Drops) count(f Fault) {
	switch f {
	case FaultBanned:
		d.BadData++
	case FaultProtocol:
		d.Protocol++
	case FaultSlow:
		d.Slow++
	case FaultTimeout:
		d.Silent++
	}
}

// Stats is a snapshot for people. Sizes are in bytes, rates in bytes per second.
type Stats struct {
	Metadata     bool  // the info dictionary is known
	Complete     bool  // every wanted piece is verified
	Size         int64 // of all files; this and the next three exclude padding
	Wanted       int64 // bytes of wanted files
	Have         int64 // bytes of files in verified pieces
	HaveWanted   int64 // bytes of wanted files in verified pieces
	Pieces       int
	HavePieces   int
	DownRate     float64 // payload
	UpRate       float64
	UpLimit      int64 // as set by Config.UpLimit and EvUpLimit
	Downloaded   int64 // payload, in this session
	Uploaded     int64
	Wasted       int64 // received and discarded
	Kept         int64 // bytes of verified pieces that were not received, but kept from an earlier version
	HashFails    int
	Known        int // candidates ever learned that are not banned
	Dialing      int
	Tried        int // addresses dialed at least once
	Refused      int // of those, the ones that have never answered
	Connected    int
	Banned       int   // addresses that are currently not dialed or accepted
	Dropped      Drops // connections ended by the peer's behavior, in this run
	Seeds        int   // connected peers that have everything
	ChokedBy     int   // connected peers that choke us while we are interested
	MetaPeers    int   // connected peers that we expect metadata from
	MetaOffers   int   // connections that have offered metadata in this run
	MetaHave     int64 // bytes of metadata in the most complete assembly
	MetaSize     int64 // 0 until a peer has sent it
	Availability float64
	Paused       bool  // storage failed
	Broken       error // why the metadata, which matches the infohash, is not a valid torrent; the engine stops then
}
