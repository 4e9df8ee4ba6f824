package qbittorrent

import (
	"net/http"

	"seedbed/node"
	"seedbed/node/daemon"
	"seedbed/node/daemon/token"
)

// An endpoint is one path below Path.
type endpoint struct {
	scope token.Scope // that it needs
	post  bool        // GET is refused
	files bool        // the body may have files
	do    func(*call) error
}

func read(do func(*call) error) endpoint { return endpoint{scope: token.Read, do: do} }
func write(scope token.Scope, do func(*call) error) endpoint {
	return endpoint{scope: scope, post: true, do: do}
}

// says returns a handler that answers with a text. An empty object or list is JSON.
func says(text string) func(*call) error {
	return func(c *call) error {
		if text == "{}" || text == "[]" {
			return c.json([]byte(text))
		}
		return c.text(text)
	}
}

// lacks returns a handler for what seedbed cannot do: it answers with an error. If the parameter is
// false, the request is to switch the feature off, and succeeds.
func lacks(what, parameter string) func(*call) error {
	return func(c *call) error {
		if parameter != "" && !c.boolean(parameter, true) {
			return nil
		}
		return fail(http.StatusConflict, "seedbed has no %s", what)
	}
}

// endpoints are all paths. Reading works with GET and POST, as in qBittorrent. The scope add also
// allows to start, stop, tag and limit torrents. Moving and deleting data and changing settings need
// the scope admin.
var endpoints = map[string]endpoint{
	"auth/login":  write(token.None, login),
	"auth/logout": write(token.None, logout),

	"app/version":         read(says(appVersion)),
	"app/webapiVersion":   read(says(apiVersion)),
	"app/buildInfo":       read(buildInfo),
	"app/preferences":     read(preferences),
	"app/defaultSavePath": read(func(c *call) error { return c.text(c.Daemon.Dir()) }),
	"app/setPreferences":  write(token.Admin, setPreferences),
	"app/shutdown":        write(token.Admin, shutdown),

	"torrents/info":        read(info),
	"torrents/count":       read(count),
	"torrents/properties":  read(properties),
	"torrents/trackers":    read(trackers),
	"torrents/files":       read(files),
	"torrents/pieceHashes": read(pieceHashes),
	"torrents/pieceStates": read(pieceStates),
	"torrents/webseeds":    read(webSeeds),
	"torrents/export":      read(export),

	"torrents/add":              {scope: token.Add, post: true, files: true, do: add},
	"torrents/stop":             write(token.Add, stop),
	"torrents/pause":            write(token.Add, stop),
	"torrents/start":            write(token.Add, start),
	"torrents/resume":           write(token.Add, start),
	"torrents/recheck":          write(token.Add, recheck),
	"torrents/reannounce":       write(token.Add, reannounce),
	"torrents/filePrio":         write(token.Add, filePrio),
	"torrents/addPeers":         write(token.Add, addPeers),
	"torrents/setForceStart":    write(token.Add, setForceStart),
	"torrents/setShareLimits":   write(token.Add, setShareLimits),
	"torrents/topPrio":          write(token.Add, requeue(daemon.Top)),
	"torrents/increasePrio":     write(token.Add, requeue(daemon.Up)),
	"torrents/decreasePrio":     write(token.Add, requeue(daemon.Down)),
	"torrents/bottomPrio":       write(token.Add, requeue(daemon.Bottom)),
	"torrents/uploadLimit":      read(limits(true)),
	"torrents/downloadLimit":    read(limits(false)),
	"torrents/setUploadLimit":   write(token.Add, setLimit(true)),
	"torrents/setDownloadLimit": write(token.Add, setLimit(false)),
	"torrents/setLocation":      write(token.Admin, setLocation),
	"torrents/setSavePath":      write(token.Admin, setSavePath),
	"torrents/delete":           write(token.Admin, remove),

	"torrents/rename":                   write(token.Add, rename),
	"torrents/renameFile":               write(token.Admin, renameFile),
	"torrents/renameFolder":             write(token.Admin, renameFolder),
	"torrents/setDownloadPath":          write(token.Admin, lacks("folder for incomplete data of a torrent of its own", "")),
	"torrents/setAutoManagement":        write(token.Add, lacks("automatic management of torrents", "enable")),
	"torrents/setSuperSeeding":          write(token.Add, lacks("super-seeding of one torrent", "value")),
	"torrents/toggleSequentialDownload": write(token.Add, toggle(func(o *node.Order) *bool { return &o.Sequential })),
	"torrents/toggleFirstLastPiecePrio": write(token.Add, toggle(func(o *node.Order) *bool { return &o.FirstLast })),
	"torrents/addTrackers":              write(token.Add, lacks("trackers", "")),
	"torrents/editTracker":              write(token.Add, lacks("trackers", "")),
	"torrents/removeTrackers":           write(token.Add, lacks("trackers", "")),

	"torrents/categories":       read(categories),
	"torrents/createCategory":   write(token.Add, createCategory),
	"torrents/editCategory":     write(token.Admin, editCategory),
	"torrents/removeCategories": write(token.Admin, removeCategories),
	"torrents/setCategory":      write(token.Add, setCategory),

	"torrents/tags":       read(tags),
	"torrents/addTags":    write(token.Add, addTags),
	"torrents/removeTags": write(token.Add, removeTags),
	"torrents/createTags": write(token.Add, createTags),
	"torrents/deleteTags": write(token.Add, deleteTags),

	"sync/maindata":     read(maindata),
	"sync/torrentPeers": read(torrentPeers),

	"transfer/info":             read(transferInfo),
	"transfer/uploadLimit":      read(totalLimit(true)),
	"transfer/downloadLimit":    read(totalLimit(false)),
	"transfer/setUploadLimit":   write(token.Admin, setTotalLimit(true)),
	"transfer/setDownloadLimit": write(token.Admin, setTotalLimit(false)),

	"transfer/speedLimitsMode":       read(speedLimitsMode),
	"transfer/setSpeedLimitsMode":    write(token.Admin, setSpeedLimitsMode),
	"transfer/toggleSpeedLimitsMode": write(token.Admin, toggleSpeedLimitsMode),

	"log/main":  read(logMain),
	"log/peers": read(says("[]")),

	// Search and the RSS of this interface do not exist: nothing is configured.
	"search/plugins": read(says("[]")),
	"search/status":  read(says("[]")),
	"rss/items":      read(says("{}")),
	"rss/rules":      read(says("{}")),
}
