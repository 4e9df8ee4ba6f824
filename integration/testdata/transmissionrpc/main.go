// Command transmissionrpc does a job with github.com/hekmon/transmissionrpc and prints what each step
// answers. It decodes strictly: a number that should be an integer must be written as one. It is a
// module of its own, so that seedbed does not depend on the client.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/hekmon/transmissionrpc/v3"
)

type job struct {
	Host     string `json:"host"`
	Port     int    `json:"port"`
	User     string `json:"user"`
	Password string `json:"password"`
	Torrent  string `json:"torrent"`
	From     string `json:"from"`
	To       string `json:"to"`
}

// fields are the fields that Transmission 3.00 has too.
var fields = strings.Fields(`activityDate addedDate bandwidthPriority comment corruptEver creator dateCreated desiredAvailable doneDate
	downloadDir downloadedEver downloadLimit downloadLimited editDate error errorString eta etaIdle files fileStats hashString
	haveUnchecked haveValid honorsSessionLimits id isFinished isPrivate isStalled labels leftUntilDone magnetLink manualAnnounceTime
	maxConnectedPeers metadataPercentComplete name peer-limit peers peersConnected peersFrom peersGettingFromUs peersSendingToUs
	percentDone pieces pieceCount priorities queuePosition rateDownload rateUpload recheckProgress secondsDownloading
	secondsSeeding seedIdleLimit seedIdleMode seedRatioLimit seedRatioMode sizeWhenDone startDate status trackers trackerStats
	totalSize uploadedEver uploadLimit uploadLimited uploadRatio wanted webseeds webseedsSendingToUs`)

func main() {
	var j job
	check(json.Unmarshal([]byte(os.Args[1]), &j))
	ctx := context.Background()
	c, err := transmissionrpc.New(&url.URL{Scheme: "http", User: url.UserPassword(j.User, j.Password),
		Host: fmt.Sprintf("%s:%d", j.Host, j.Port), Path: "/transmission/rpc"}, nil)
	check(err)
	out := json.NewEncoder(os.Stdout)
	say := func(step string, answer any, err error) {
		check(err)
		check(out.Encode(map[string]any{"step": step, "answer": answer}))
	}
	_, version, _, err := c.RPCVersion(ctx)
	check(err)
	_, err = c.SessionArgumentsGetAll(ctx) // must be decodable
	check(err)

	file, err := os.ReadFile(j.Torrent)
	check(err)
	metainfo := base64.StdEncoding.EncodeToString(file)
	added, err := c.TorrentAdd(ctx, transmissionrpc.TorrentAddPayload{MetaInfo: &metainfo, DownloadDir: &j.From, Paused: new(true)})
	say("add", added, err)
	one := []int64{*added.ID}
	// until polls, because the RPC has no events.
	until := func(ok func(*transmissionrpc.Torrent) bool) transmissionrpc.Torrent {
		for {
			list, err := c.TorrentGet(ctx, fields, one)
			check(err)
			if len(list) == 1 && ok(&list[0]) {
				return list[0]
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	isStopped := func(t *transmissionrpc.Torrent) bool { return *t.Status == transmissionrpc.TorrentStatusStopped }
	if version >= 17 { // whose availability is as the client expects
		_, err = c.TorrentGetAll(ctx)
		check(err)
	}
	check(c.TorrentVerifyIDs(ctx, one))
	say("list", until(func(t *transmissionrpc.Torrent) bool { return isStopped(t) && *t.LeftUntilDone == 0 }), nil)
	check(c.TorrentStartNowIDs(ctx, one))
	say("start", until(func(t *transmissionrpc.Torrent) bool { return *t.Status == transmissionrpc.TorrentStatusSeed }), nil)
	check(c.TorrentReannounceIDs(ctx, one))
	check(c.QueueMoveTop(ctx, one))
	check(c.TorrentStopIDs(ctx, one))
	until(isStopped)
	check(c.TorrentSet(ctx, transmissionrpc.TorrentSetPayload{IDs: one, UploadLimit: new(int64(50)), UploadLimited: new(true),
		SeedRatioLimit: new(1.5), SeedRatioMode: new(transmissionrpc.SeedRatioModeCustom), SeedIdleLimit: new(20 * time.Minute), SeedIdleMode: new(int64(1)),
		PriorityHigh: []int64{1}, PriorityLow: []int64{0}, Labels: []string{"one", "two"}}))
	say("set", until(isStopped), nil)
	check(c.TorrentRenamePath(ctx, one[0], "some files/folder/b.txt", "c.txt"))
	check(c.TorrentRenamePath(ctx, one[0], "some files", "mine"))
	say("rename", until(func(t *transmissionrpc.Torrent) bool {
		return *t.Name == "mine" && t.Files[1].Name == "mine/folder/c.txt"
	}), nil)
	check(c.TorrentSetLocation(ctx, one[0], j.To, true))
	say("move", until(func(t *transmissionrpc.Torrent) bool { return *t.DownloadDir == j.To && isStopped(t) }), nil)
	_, _, err = c.FreeSpace(ctx, j.To)
	check(err)
	_, err = c.SessionStats(ctx)
	check(err)
	check(c.TorrentRemove(ctx, transmissionrpc.TorrentRemovePayload{IDs: one, DeleteLocalData: true}))
	for {
		list, err := c.TorrentGet(ctx, []string{"id"}, nil)
		check(err)
		if len(list) == 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	say("remove", "", nil)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
