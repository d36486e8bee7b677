//go:build wasip1

package step

import (
	"net/http"
	"time"

	"windlass.dev/go"
	"windlass.dev/go/internal/wit/windlass_plugin_callbacks"
	"windlass.dev/go/internal/wit/windlass_plugin_checkpoint"
	"windlass.dev/go/internal/wit/windlass_plugin_connections"
	"windlass.dev/go/internal/wit/windlass_plugin_log"
	"windlass.dev/go/internal/wit/windlass_plugin_progress"
)

func init() {
	// So that libraries which know only net/http go through the host as well.
	http.DefaultTransport = imports{}
}

// imports are the imports of the component as a host.
type imports struct{ transport }

var levels = map[string]windlass_plugin_log.Level{
	"trace": windlass_plugin_log.Level_Trace, "debug": windlass_plugin_log.Level_Debug, "info": windlass_plugin_log.Level_Info,
	"warn": windlass_plugin_log.Level_Warn, "error": windlass_plugin_log.Level_Error,
}

func (imports) Log(level, message string, fields []windlass.Detail) {
	windlass_plugin_log.Log(levels[level], message, pairs(fields))
}

func (imports) Status(text string)     { windlass_plugin_progress.Status(text) }
func (imports) Percent(value uint8)    { windlass_plugin_progress.Percent(value) }
func (imports) Link(title, url string) { windlass_plugin_progress.Link(title, url) }

func (imports) Connection(role string) *windlass.Endpoint {
	bound, ok := windlass_plugin_connections.Get(role).Get()
	if !ok {
		return nil
	}
	properties := map[string]string{}
	for _, pair := range bound.Properties {
		properties[pair.F0] = pair.F1
	}
	return &windlass.Endpoint{Name: bound.Name, BaseURL: bound.BaseUrl, Properties: properties}
}

func (imports) Begin(name string) ([]byte, windlass.Slot) {
	begun := windlass_plugin_checkpoint.Begin(name)
	if begun.Tag() == windlass_plugin_checkpoint.Begun_Recorded {
		return begun.Recorded(), nil
	}
	return nil, slot{begun.Fresh()}
}

type slot struct {
	it *windlass_plugin_checkpoint.Slot
}

func (s slot) Finish(value []byte) { windlass_plugin_checkpoint.SlotFinish(s.it, value) }
func (s slot) Drop()               { s.it.Drop() }

func (imports) Callback() windlass.Callback {
	made := windlass_plugin_callbacks.Create()
	url, _ := made.Url.Get()
	return windlass.Callback{Topic: made.Topic, URL: url}
}

func (imports) Now() time.Time { return time.Now().UTC() }

func canonical(name string) string { return http.CanonicalHeaderKey(name) }
