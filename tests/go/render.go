// Renders an Ollama TEMPLATE as Ollama does, with Go's own text/template and the standard library only.
//
// Reads one JSON request from stdin and writes the texts as a JSON list. What is Ollama's and not Go's
// is taken from its template/template.go: the option, the functions, the joining of messages, the data.
// Templates without .Messages, which Ollama runs in another way, are refused.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"
	"time"
	"unicode"
)

type message struct {
	Role     string `json:"role"`
	Content  string `json:"content"`
	Thinking string `json:"thinking"`
}

type conversation struct {
	Messages []message `json:"messages"`
	// Think is null where the client says nothing about it.
	Think *bool `json:"think"`
	// Old is an Ollama that does not know of thinking.
	Old bool `json:"old"`
}

type request struct {
	Template      string         `json:"template"`
	Conversations []conversation `json:"conversations"`
}

func isoDate(days int) func(...string) string {
	return func(...string) string { return time.Now().AddDate(0, 0, days).Format("2006-01-02") }
}

var functions = template.FuncMap{
	"json": func(value any) string {
		text, _ := json.Marshal(value)
		return string(text)
	},
	"currentDate":   isoDate(0),
	"yesterdayDate": isoDate(-1),
}

// collate joins the system messages, and neighbours of one role.
func collate(messages []message) (string, []*message) {
	var system []string
	var collated []*message
	for i := range messages {
		if messages[i].Role == "system" {
			system = append(system, messages[i].Content)
		}
		last := len(collated) - 1
		if last >= 0 && collated[last].Role == messages[i].Role && messages[i].Role != "tool" {
			collated[last].Content += "\n\n" + messages[i].Content
		} else {
			collated = append(collated, &messages[i])
		}
	}
	return strings.Join(system, "\n\n"), collated
}

// usesMessages says whether an action of the template asks for .Messages.
func usesMessages(parsed *template.Template) bool {
	for _, node := range parsed.Tree.Root.Nodes {
		if node.Type() != parse.NodeText && strings.Contains(node.String(), ".Messages") {
			return true
		}
	}
	return false
}

func render(parsed *template.Template, each conversation) (string, error) {
	system, collated := collate(each.Messages)
	data := map[string]any{"System": system, "Messages": collated, "Tools": nil, "Response": ""}
	if !each.Old {
		data["Think"] = each.Think != nil && *each.Think
		data["ThinkLevel"] = ""
		data["IsThinkSet"] = each.Think != nil
	}
	var text strings.Builder
	err := parsed.Execute(&text, data)
	return text.String(), err
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// dropped lists every code point that Ollama's parser drops, as Go's own tables say, but for those
// that these tables do not know yet.
func dropped() []int {
	points := []int{}
	for point := rune(0); point <= unicode.MaxRune; point++ {
		assigned := false
		for name, table := range unicode.Categories {
			assigned = assigned || (len(name) == 2 && unicode.Is(table, point))
		}
		if assigned && !strconv.IsPrint(point) {
			points = append(points, int(point))
		}
	}
	return points
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "dropped" {
		fail(json.NewEncoder(os.Stdout).Encode(dropped()))
		return
	}
	var asked request
	fail(json.NewDecoder(os.Stdin).Decode(&asked))
	parsed, err := template.New("").Option("missingkey=zero").Funcs(functions).Parse(asked.Template)
	fail(err)
	if !usesMessages(parsed) {
		fail(fmt.Errorf("the template has no .Messages"))
	}
	texts := []string{}
	for _, each := range asked.Conversations {
		text, err := render(parsed, each)
		fail(err)
		texts = append(texts, text)
	}
	fail(json.NewEncoder(os.Stdout).Encode(texts))
}
