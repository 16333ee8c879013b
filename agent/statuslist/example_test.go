package statuslist_test

import (
	"fmt"
	"maps"
	"time"

	"github.com/digital-sentinel/sentinel/agent/statuslist"
)

// The publisher builds a table; a kiosk that has its bytes and the key of the
// epoch looks up who lays down a card.
func Example() {
	asOf := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	key := statuslist.Key{1, 2, 3} // random in earnest
	person := key.Fingerprint(statuslist.NewHandle("resident-id", "11010519491231002X", "张三"))

	data, _, err := statuslist.Build(statuslist.Head{Epoch: 1, AsOf: asOf}, maps.All(map[uint64]statuslist.Value{
		person: statuslist.NewValue(statuslist.Green, asOf.Add(-13*time.Hour), asOf),
	}))
	if err != nil {
		return
	}
	table, err := statuslist.Open(data)
	if err != nil {
		return
	}
	value, ok := table.Lookup(person)
	sampled, _ := value.Sampled(table.Head().AsOf)
	fmt.Println(ok, value.Colour(), sampled.Format(time.DateTime))
	// Output: true green 2026-11-23 20:00:00
}
