// A Go program that knows nothing of signing: it calls through `govbus proxy` by plain generated stubs.
//
// usage: caller ADDRESS, with the proxy's token in GOVBUS_TOKEN. It prints one JSON document: a unit's name, how many
// units a stream brought, and why a purpose without a grant was refused.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	administrative "example.org/caller/contracts/vn/administrative/v1"
	common "example.org/caller/contracts/vn/common/v1"
)

const list = "gso-2025-07"

func main() {
	channel, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer channel.Close()
	units := administrative.NewAdministrativeUnitServiceClient(channel)
	ask := &administrative.GetUnitRequest{Code: &common.AdministrativeUnitCode{Code: "01", CodeListVersion: list}}

	var trailer metadata.MD
	answer, err := units.GetUnit(saying("civil.birth"), ask, grpc.Trailer(&trailer))
	if err != nil {
		log.Fatal(err)
	}
	_, err = units.GetUnit(saying("tax.audit"), ask)
	told := map[string]any{
		"name":     answer.GetUnit().GetName(),
		"request":  trailer.Get("govbus-request-id"),
		"streamed": streamed(units),
		"code":     status.Code(err).String(),
		"reason":   reason(err),
	}
	if err := json.NewEncoder(os.Stdout).Encode(told); err != nil {
		log.Fatal(err)
	}
}

// saying gives a context with what the bus signs and records: why, for which case.
func saying(purpose string) context.Context {
	ctx, _ := context.WithTimeout(context.Background(), time.Minute) //nolint:govet // ends with the program
	return metadata.AppendToOutgoingContext(ctx,
		"authorization", "Bearer "+os.Getenv("GOVBUS_TOKEN"),
		"govbus-purpose", purpose,
		"govbus-case", "case-go-1")
}

func streamed(units administrative.AdministrativeUnitServiceClient) int {
	answers, err := units.ListUnits(saying("civil.birth"), &administrative.ListUnitsRequest{CodeListVersion: list})
	if err != nil {
		log.Fatal(err)
	}
	for count := 0; ; count++ {
		if _, err := answers.Recv(); errors.Is(err, io.EOF) {
			return count
		} else if err != nil {
			log.Fatal(err)
		}
	}
}

// reason is the bus's own word for a refusal: google.rpc.ErrorInfo of the domain "govbus".
func reason(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == "govbus" {
			return info.GetReason()
		}
	}
	return ""
}
