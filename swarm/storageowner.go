package swarm

import (
	"seedbed/internal/bitset"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

// task runs f on a goroutine that Stop waits for. The loop alone calls it.
func (t *Torrent) task(f func()) {
	if !t.ending {
		t.tasks.Go(f)
	}
}

// metadata opens the storage, now that the info dictionary is known.
func (t *Torrent) metadata(info *metainfo.Info) {
	if t.info != nil {
		return
	}
	t.info = info
	t.learnNames(info)
	t.maxFrame.Store(int64(longestFrame(info)))
	t.tell(Event{Kind: MetadataKnown, Info: info})
	t.storage.start()
}

// longestFrame returns the length of the longest message that makes sense, its prefix left
// out: a bitfield, a block, or the answer to a request of ours for hashes.
func longestFrame(info *metainfo.Info) int {
	n := max(info.NumPieces()/8+2, wire.PieceHeaderLen+wire.MaxBlock)
	if info.HasV2() {
		n = max(n, wire.HashesLen(info.MaxHashes()))
	}
	return min(n, wire.MaxFrame)
}

// storageFailed tells the engine that storage failed and what was lost by it, and
// starts the recovery unless it is under way.
func (t *Torrent) storageFailed(err error, lost ...item) {
	t.storageFailing()
	t.inbox.post(lost...)
	t.storage.failed(err)
}

// What follows makes a Torrent the owner of its storageSession.

func (t *Torrent) spawn(f func()) {
	t.inbox.post(item{fn: func() { t.task(f) }})
}

func (t *Torrent) storageOpened(c Content) {
	t.content = c
	t.storeMu.Lock()
	t.resumed = c.Stored
	t.storeMu.Unlock()
	t.inbox.post(item{
		ev: &engine.EvInfo{Info: t.info, Have: c.Have, Wanted: c.Wanted, Files: c.Files, Stored: c.Stored},
		fn: func() { t.tell(Event{Kind: Opened, Info: t.info}) },
	})
}

func (t *Torrent) storageFailing() { t.inbox.post(item{ev: new(engine.EvStorageFailed)}) }

func (t *Torrent) storagePaused(err error) {
	t.cfg.Log.Warn("torrent paused", "infohash", t.cfg.InfoHash, "error", err)
	t.inbox.post(item{fn: func() { t.tell(Event{Kind: Paused, Err: err}) }})
}

func (t *Torrent) storageResumed() {
	t.inbox.post(item{fn: func() { t.tell(Event{Kind: Resumed}) }})
}

func (t *Torrent) storageBack(have bitset.Set) {
	t.inbox.post(item{ev: &engine.EvStorageBack{Have: have}, fn: t.storage.recovered})
}

func (t *Torrent) storageFinished() {
	t.inbox.post(item{fn: func() { t.tell(Event{Kind: Complete, Info: t.info}) }})
}
