// Go's clients against a server: the Flight SQL client of arrow-go and its driver for database/sql.
//
// `go run . HOST:PORT` prints a line per check and ends with 1 when one of them failed.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	_ "github.com/apache/arrow-go/v18/arrow/flight/flightsql/driver"
	"github.com/apache/arrow-go/v18/arrow/memory"
	_ "google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

var address string

func main() {
	address = os.Args[1]
	checks := []struct {
		name string
		run  func() error
	}{
		{"database/sql queries and binds", databaseSql},
		{"the Flight SQL client browses", browse},
		{"values of all types come as they are", types},
		{"ingestion creates and appends", ingest},
		{"errors have code and text", errors},
		{"a query can be cancelled", cancel},
		{"transactions are refused and not pretended", transactions},
		{"options of a session are set and read", options},
	}
	failed := 0
	for _, check := range checks {
		if err := check.run(); err != nil {
			failed++
			fmt.Printf("FAILED  %s: %v\n", check.name, err)
		} else {
			fmt.Printf("ok      %s\n", check.name)
		}
	}
	fmt.Printf("go: %d passed, %d failed\n", len(checks)-failed, failed)
	if failed > 0 {
		os.Exit(1)
	}
}

func connect(middleware ...flight.ClientMiddleware) (*flightsql.Client, error) {
	return flightsql.NewClient(address, nil, middleware, grpc.WithTransportCredentials(insecure.NewCredentials()))
}

func databaseSql() error {
	db, err := sql.Open("flightsql", "flightsql://"+address)
	if err != nil {
		return err
	}
	defer db.Close()
	for _, statement := range []string{
		"CREATE TABLE gone (n BIGINT, word VARCHAR)",
		"INSERT INTO gone VALUES (1, 'one'), (2, NULL)",
	} {
		if _, err := db.Exec(statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	if _, err := db.Exec("INSERT INTO gone VALUES (?, ?)", int64(3), "three"); err != nil {
		return err
	}
	rows, err := db.Query("SELECT n, word FROM gone WHERE n >= ? ORDER BY n", int64(2))
	if err != nil {
		return err
	}
	defer rows.Close()
	var found []string
	for rows.Next() {
		var n int64
		var word sql.NullString
		if err := rows.Scan(&n, &word); err != nil {
			return err
		}
		found = append(found, fmt.Sprintf("%d %q %t", n, word.String, word.Valid))
	}
	if got := strings.Join(found, ";"); got != `2 "" false;3 "three" true` {
		return fmt.Errorf("found %q", got)
	}
	return rows.Err()
}

// All rows behind an info, counted, and the first column as text.
func fetch(ctx context.Context, client *flightsql.Client, info *flight.FlightInfo) (int64, string, error) {
	count, text := int64(0), ""
	for _, endpoint := range info.Endpoint {
		reader, err := client.DoGet(ctx, endpoint.Ticket)
		if err != nil {
			return 0, "", err
		}
		for reader.Next() {
			batch := reader.Record()
			count += batch.NumRows()
			text += fmt.Sprint(batch.Column(0))
		}
		if err := reader.Err(); err != nil {
			return 0, "", err
		}
		reader.Release()
	}
	return count, text, nil
}

func browse() error {
	ctx := context.Background()
	client, err := connect()
	if err != nil {
		return err
	}
	defer client.Close()
	info, err := client.GetCatalogs(ctx)
	if err != nil {
		return err
	}
	if _, text, err := fetch(ctx, client, info); err != nil || !strings.Contains(text, "lake") {
		return fmt.Errorf("catalogs %q %v", text, err)
	}
	pattern := "go%"
	info, err = client.GetTables(ctx, &flightsql.GetTablesOpts{TableNameFilterPattern: &pattern, IncludeSchema: true})
	if err != nil {
		return err
	}
	count, _, err := fetch(ctx, client, info)
	if err != nil || count != 1 {
		return fmt.Errorf("%d tables, %v", count, err)
	}
	info, err = client.Execute(ctx, "SELECT value FROM generate_series(1, 500000)")
	if err != nil {
		return err
	}
	if count, _, err = fetchCount(ctx, client, info); err != nil || count != 500000 {
		return fmt.Errorf("%d rows, %v", count, err)
	}
	return nil
}

func fetchCount(ctx context.Context, client *flightsql.Client, info *flight.FlightInfo) (int64, string, error) {
	reader, err := client.DoGet(ctx, info.Endpoint[0].Ticket)
	if err != nil {
		return 0, "", err
	}
	defer reader.Release()
	count := int64(0)
	for reader.Next() {
		count += reader.Record().NumRows()
	}
	return count, "", reader.Err()
}

func types() error {
	ctx := context.Background()
	client, err := connect()
	if err != nil {
		return err
	}
	defer client.Close()
	info, err := client.Execute(ctx, "SELECT true, CAST(-1 AS TINYINT), CAST(2 AS SMALLINT), CAST(3 AS INT), CAST(4 AS BIGINT),"+
		" CAST(0.5 AS REAL), CAST(1.5 AS DOUBLE), CAST(12.34 AS DECIMAL(10, 2)), 'größe', X'00ff', DATE '2026-02-03',"+
		" TIMESTAMP '2026-02-03 04:05:06.789', CAST(NULL AS INT), [1, NULL, 3]")
	if err != nil {
		return err
	}
	reader, err := client.DoGet(ctx, info.Endpoint[0].Ticket)
	if err != nil {
		return err
	}
	defer reader.Release()
	if !reader.Next() {
		return fmt.Errorf("no row, %v", reader.Err())
	}
	row := reader.Record()
	list := row.Column(13).(*array.List)
	found := fmt.Sprint(
		row.Column(0).(*array.Boolean).Value(0), " ",
		row.Column(1).(*array.Int8).Value(0), " ",
		row.Column(2).(*array.Int16).Value(0), " ",
		row.Column(3).(*array.Int32).Value(0), " ",
		row.Column(4).(*array.Int64).Value(0), " ",
		row.Column(5).(*array.Float32).Value(0), " ",
		row.Column(6).(*array.Float64).Value(0), " ",
		row.Column(7).(*array.Decimal128).Value(0).LowBits(), " ",
		row.Column(8).(*array.String).Value(0), " ",
		row.Column(9).(*array.Binary).Value(0), " ",
		row.Column(10).(*array.Date32).Value(0).ToTime().UTC().Format(time.DateOnly), " ",
		row.Column(11).(*array.Timestamp).Value(0).ToTime(arrow.Microsecond).UTC().Format("2006-01-02 15:04:05.000"), " ",
		row.Column(12).IsNull(0), " ",
		list.ListValues().(*array.Int64).Value(2), list.ListValues().IsNull(1),
	)
	expected := "true -1 2 3 4 0.5 1.5 1234 größe [0 255] 2026-02-03 2026-02-03 04:05:06.789 true 3 true"
	if found != expected {
		return fmt.Errorf("found %q", found)
	}
	return nil
}

func ingest() error {
	ctx := context.Background()
	client, err := connect()
	if err != nil {
		return err
	}
	defer client.Close()
	schema := arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64, Nullable: true}}, nil)
	for round := int64(1); round <= 2; round++ {
		builder := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		builder.Field(0).(*array.Int64Builder).AppendValues([]int64{1, 2, 3}, nil)
		reader, err := array.NewRecordReader(schema, []arrow.Record{builder.NewRecord()})
		if err != nil {
			return err
		}
		count, err := client.ExecuteIngest(ctx, reader, &flightsql.ExecuteIngestOpts{
			Table: "gophers",
			TableDefinitionOptions: &flightsql.TableDefinitionOptions{
				IfNotExist: flightsql.TableDefinitionOptionsTableNotExistOptionCreate,
				IfExists:   flightsql.TableDefinitionOptionsTableExistsOptionAppend,
			},
		})
		if err != nil || count != 3 {
			return fmt.Errorf("%d rows, %v", count, err)
		}
	}
	info, err := client.Execute(ctx, "SELECT n FROM gophers")
	if err != nil {
		return err
	}
	if count, _, err := fetch(ctx, client, info); err != nil || count != 6 {
		return fmt.Errorf("%d rows, %v", count, err)
	}
	return nil
}

func errors() error {
	client, err := connect()
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = client.Execute(context.Background(), "SELECT * FROM nowhere")
	found, ok := status.FromError(err)
	if !ok || found.Code().String() != "NotFound" || !strings.Contains(found.Message(), "nowhere") {
		return fmt.Errorf("%v", err)
	}
	if details := found.Details(); len(details) != 1 || !strings.Contains(fmt.Sprint(details[0]), "42704") {
		return fmt.Errorf("details %v", details)
	}
	return nil
}

// The server is asked to end it, in both ways that the protocol has, and a client that goes away ends it too.
func cancel() error {
	client, err := connect()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx := context.Background()
	for _, way := range []string{"CancelFlightInfo", "CancelQuery", "going away"} {
		within, leave := context.WithTimeout(ctx, 30*time.Second)
		defer leave()
		info, err := client.Execute(within, "SELECT value FROM generate_series(1, 1000000000000)")
		if err != nil {
			return err
		}
		reader, err := client.DoGet(within, info.Endpoint[0].Ticket)
		if err != nil {
			return err
		}
		if !reader.Next() {
			return fmt.Errorf("no rows, %v", reader.Err())
		}
		switch way {
		case "CancelFlightInfo":
			result, err := client.CancelFlightInfo(within, &flight.CancelFlightInfoRequest{Info: info})
			if err != nil || int32(result.Status) != 1 {
				return fmt.Errorf("%v %v", result, err)
			}
		case "CancelQuery":
			if result, err := client.CancelQuery(within, info); err != nil || int32(result) != 1 {
				return fmt.Errorf("%v %v", result, err)
			}
		default:
			leave()
		}
		for reader.Next() {
		}
		if code := status.Code(reader.Err()).String(); code != "Canceled" {
			return fmt.Errorf("%s: %v", way, reader.Err())
		}
		reader.Release()
	}
	info, err := client.Execute(ctx, "SELECT 1")
	if err != nil {
		return err
	}
	if count, _, err := fetch(ctx, client, info); err != nil || count != 1 {
		return fmt.Errorf("%d rows, %v", count, err)
	}
	return nil
}

func transactions() error {
	client, err := connect()
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err = client.BeginTransaction(context.Background()); status.Code(err).String() != "Unimplemented" {
		return fmt.Errorf("%v", err)
	}
	db, err := sql.Open("flightsql", "flightsql://"+address)
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE untouched (n BIGINT)"); err != nil {
		return err
	}
	if _, err := db.Begin(); err == nil {
		return fmt.Errorf("it began")
	}
	var count int64
	if err := db.QueryRow("SELECT count(*) FROM untouched").Scan(&count); err != nil || count != 0 {
		return fmt.Errorf("%d rows, %v", count, err)
	}
	return nil
}

func options() error {
	ctx := context.Background()
	client, err := connect(flight.NewClientCookieMiddleware())
	if err != nil {
		return err
	}
	defer client.Close()
	request := &flight.SetSessionOptionsRequest{SessionOptions: map[string]*flight.SessionOptionValue{}}
	for name, value := range map[string]any{"catalog": "lake", "batch_size": int64(2048)} {
		option, err := flight.NewSessionOptionValue(value)
		if err != nil {
			return err
		}
		request.SessionOptions[name] = &option
	}
	result, err := client.SetSessionOptions(ctx, request)
	if err != nil || len(result.Errors) > 0 {
		return fmt.Errorf("%v %v", result, err)
	}
	found, err := client.GetSessionOptions(ctx, &flight.GetSessionOptionsRequest{})
	if err != nil || found.SessionOptions["batch_size"].GetStringValue() != "2048" {
		return fmt.Errorf("%v %v", found, err)
	}
	_, err = client.CloseSession(ctx, &flight.CloseSessionRequest{})
	return err
}
