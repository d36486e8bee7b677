package component_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"windlass.dev/go"
	"windlass.dev/go/component"
)

// exporting is what a test program says that exports a plugin, and whether it ended well.
func exporting(t *testing.T, which string) (string, bool) {
	t.Helper()
	program := exec.Command(os.Args[0], "-test.run=^$")
	program.Env = append(os.Environ(), "WINDLASS_EXPORTS="+which)
	said, err := program.CombinedOutput()
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		t.Fatal(err)
	}
	return string(said), err == nil
}

func init() {
	switch os.Getenv("WINDLASS_EXPORTS") {
	case "good":
		component.Export(&windlass.Plugin{Name: "good", Version: "0.1.0"})
	case "bad":
		component.Export(&windlass.Plugin{Name: "Bad", Version: "0.1"})
	case "none":
		component.Export(nil)
	}
}

func TestAPluginThatIsDeclaredWronglyEndsItsTestsWithSentences(t *testing.T) {
	for which, expected := range map[string]string{
		"bad": ": the plugin's declarations are wrong:\n" +
			"  the plugin: `Bad` is no name: write [a-z][a-z0-9_-]{0,62}\n" +
			"  the plugin: `0.1` is no Version: write for example 0.1.0\n",
		"none": ": there is no plugin: it is nil\n",
	} {
		said, good := exporting(t, which)
		before, after, _ := strings.Cut(said, ": ")
		if good || !strings.HasPrefix(before, "component_test.go:") || ": "+after != expected {
			t.Fatalf("%s: %v, %q", which, good, said)
		}
	}
	if said, good := exporting(t, "good"); !good {
		t.Fatal(said)
	}
}
