package importer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	"seedbed/internal/statefile"
)

// A Category is a category of another client.
type Category struct {
	Name string
	Dir  string // the folder for the data of new torrents; "": that of the client
}

// maxCategories limits the file with the categories, in bytes.
const maxCategories = 1 << 20

// configs returns the possible places of qBittorrent's configuration folder, which has the
// categories, for its data folder.
func configs(data string) []string {
	name := filepath.Base(data) // with --configuration, it has a suffix
	return []string{
		filepath.Join(data, "../config"), // with --profile
		data,                             // with XDG_CONFIG_HOME and XDG_DATA_HOME set to one folder
		filepath.Join(data, "../../../.config", name),
		filepath.Join(data, "../../../../.config", name), // the data is in ~/.local/share/data
		filepath.Join(data, "../../Roaming", name),       // Windows
	}
}

// qbittorrentCategories reads the categories of qBittorrent, sorted by name. data is its data folder.
func qbittorrentCategories(data string) (list []Category, err error) {
	for _, dir := range configs(data) {
		path := filepath.Join(dir, "categories.json")
		b, err := statefile.ReadMax(path, maxCategories)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var all map[string]struct {
			SavePath string `json:"save_path"`
		}
		if err := json.Unmarshal(b, &all); err != nil {
			return nil, fmt.Errorf("%s is damaged, so the folders of the categories are not imported: %w", path, err)
		}
		for _, name := range slices.Sorted(maps.Keys(all)) {
			c := Category{Name: name}
			if at := filepath.FromSlash(all[name].SavePath); filepath.IsAbs(at) { // a relative one is in the download folder of qBittorrent
				c.Dir = filepath.Clean(at)
			}
			list = append(list, c)
		}
		return list, nil
	}
	return nil, nil
}
