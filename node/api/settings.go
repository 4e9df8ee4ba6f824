package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"seedbed/internal/option"
	"seedbed/node"
	"seedbed/node/daemon"
	"seedbed/node/daemon/token"
	"seedbed/node/view"
)

// SettingList is the settings of a daemon.
type SettingList struct {
	Settings []view.Setting `json:"settings"`
}

type settingsInput struct {
	Body map[string]any `doc:"Values by the names of the settings: a string, a number, true, false, or a list of strings. null undoes the change of a client."`
}

func (a *api) addSettings() {
	huma.Register(a.huma, operation(http.MethodGet, "/v1/settings", "list-settings", "List the settings that can change while the daemon runs", token.Admin),
		func(context.Context, *struct{}) (*struct{ Body SettingList }, error) {
			return &struct{ Body SettingList }{a.settings()}, nil
		})
	huma.Register(a.huma, operation(http.MethodPatch, "/v1/settings", "change-settings", "Change settings: all, or none if one is invalid; the changes survive restarts", token.Admin), a.changeSettings)
}

func (a *api) settings() SettingList {
	return SettingList{SettingsOf(a.SettingStates())}
}

// SettingsOf returns the objects for settings.
func SettingsOf(states []daemon.SettingState) []view.Setting {
	all := make([]view.Setting, len(states))
	for i := range states {
		all[i] = settingOf(&states[i])
	}
	return all
}

func settingOf(s *daemon.SettingState) view.Setting {
	o := view.Setting{Head: view.Head{Event: "setting"}, Setting: s.Name, Value: strings.Join(s.Values, ","), Default: strings.Join(s.Default, ","),
		Source: s.Source(), Env: option.EnvName(s.Name), Live: true}
	f := s.Form()
	o.SettingForm = view.SettingForm{Type: f.Type, Unit: f.Unit, Minimum: f.Min, Maximum: f.Max, Choices: f.Choices,
		Group: string(s.Group), Help: s.Help, Manual: s.Manual, ReadOnly: s.Given}
	if s.IsList {
		o.Values = s.Values
	}
	return o
}

func (a *api) changeSettings(ctx context.Context, in *settingsInput) (*struct{ Body SettingList }, error) {
	values := map[string][]string{}
	for name, v := range in.Body {
		texts, err := settingTexts(v)
		if err != nil {
			return nil, a.problem(node.NewFault(node.FaultUsage, fmt.Errorf("%s: %w", name, err), ""))
		}
		values[name] = texts
	}
	wait, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	if err := a.SetSettings(wait, values); err != nil {
		return nil, a.problem(err)
	}
	return &struct{ Body SettingList }{a.settings()}, nil
}

// settingTexts returns the texts of a value in JSON; nil for null.
func settingTexts(v any) ([]string, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case bool:
		return []string{strconv.FormatBool(v)}, nil
	case float64:
		return []string{strconv.FormatFloat(v, 'f', -1, 64)}, nil
	case []any:
		texts := []string{}
		for _, e := range v {
			text, ok := e.(string)
			if !ok {
				return nil, errors.New("a list may contain only strings")
			}
			texts = append(texts, text)
		}
		return texts, nil
	}
	return nil, errors.New("an object is not a value")
}
