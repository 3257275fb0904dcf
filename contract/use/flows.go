// What an integrator writes with openapi-generator's client for Go: the steps of flows.txt. Compiled, then run.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"tenantry"
)

const password = "nine purple lanterns"

var (
	url    = os.Getenv("TENANTRY_URL")
	domain = os.Getenv("MAIL_DOMAIN")
	seen   = map[string]bool{}
	api    = client()
)

func client() *tenantry.APIClient {
	configuration := tenantry.NewConfiguration()
	configuration.Servers = tenantry.ServerConfigurations{{URL: url}}
	return tenantry.NewAPIClient(configuration)
}

// made is what was asked for; with a problem, the program ends.
func made[T any](value T, _ *http.Response, err error) T {
	if err != nil {
		log.Fatalln(err)
	}
	return value
}

// problem is what the service says that is wrong, as a value of the type that the contract has for it.
func problem[T any](err error) (found T) {
	var refused *tenantry.GenericOpenAPIError
	if errors.As(err, &refused) {
		found, _ = refused.Model().(T)
	}
	return found
}

// logIn is the context of the calls of somebody.
func logIn(email, password string) context.Context {
	body := tenantry.SessionCreate{Email: email, Password: password}
	tokens := made(api.SessionsAPI.CreateSession(context.Background()).SessionCreate(body).Execute())
	return context.WithValue(context.Background(), tenantry.ContextAccessToken, tokens.AccessToken)
}

func text(path string) string {
	response, err := http.Get(url + path)
	if err != nil {
		log.Fatalln(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return made(string(body), response, err)
}

// tokenFor is the token in a mail to somebody, which comes a moment after the invitation; each is good once.
func tokenFor(email string) string {
	link, inside := regexp.MustCompile(`href="(/dev/mail/[^"]+)"`), regexp.MustCompile(`#token=([\w.-]+)`)
	for tries := 0; tries < 300; tries++ {
		for _, mail := range link.FindAllStringSubmatch(text("/dev/mail"), -1) {
			shown := text(mail[1])
			token := inside.FindStringSubmatch(shown)
			if token != nil && !seen[token[1]] && strings.Contains(shown, "<dd>"+email+"</dd>") {
				seen[token[1]] = true
				return token[1]
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	log.Fatalln("no mail to", email)
	return ""
}

func register(email, name string) context.Context {
	body := tenantry.NewRegistrationCreate(tokenFor(email))
	body.SetName(name)
	body.SetPassword(password)
	made(api.RegistrationsAPI.CreateRegistration(context.Background()).RegistrationCreate(*body).Execute())
	return logIn(email, password)
}

// accounts are all for which the conditions hold, page by page.
func accounts(who context.Context, partner string, conditions []string) (found []tenantry.AccountRead) {
	request := api.AccountsAPI.ListAccounts(who, partner).Filter(conditions).Sort("-properties.seats").Limit(2)
	for {
		page := made(request.Execute())
		found = append(found, page.Items...)
		cursor := page.NextCursor.Get()
		if cursor == nil {
			return found
		}
		request = request.Cursor(*cursor)
	}
}

// shown tells columns apart: the one field that is not nil is the column.
func shown(column tenantry.PropertyRead) string {
	switch column := column.GetActualInstance().(type) {
	case *tenantry.NumberPropertyRead:
		return column.Key + " in " + column.GetUnit()
	case *tenantry.MoneyPropertyRead:
		return column.Key + " in " + column.Currency
	case *tenantry.MultiSelectPropertyRead:
		return column.Key + " of " + joined(column.Options, " ", func(one tenantry.Option) string { return one.Key })
	case *tenantry.DatePropertyRead:
		return column.Key
	}
	return "a column of another type"
}

func joined[T any](things []T, between string, shown func(T) string) string {
	words := []string{}
	for _, one := range things {
		words = append(words, shown(one))
	}
	return strings.Join(words, between)
}

func names(rows []tenantry.AccountRead) string {
	return joined(rows, ", ", func(row tenantry.AccountRead) string { return row.Name })
}

func label(english string) tenantry.Label {
	label := tenantry.NewLabel()
	label.SetEn(english)
	return *label
}

func main() {
	// an operator opens a partner, whose first admin follows the link of a mail, and lets a colleague see it
	operator := logIn("operator@example.com", os.Getenv("OPERATOR_PASSWORD"))
	opened := tenantry.NewPartnerCreate("Sensorhaus GmbH")
	opened.SetFirstAdminEmail("anna@" + domain)
	partner := made(api.PartnersAPI.CreatePartner(operator).PartnerCreate(*opened).Execute()).Id
	anna := register("anna@"+domain, "Anna")
	colleague := tenantry.PartnerInvitationCreate{Email: "bob@" + domain, Role: "partner_viewer"}
	made(api.InvitationsAPI.CreatePartnerInvitation(anna, partner).PartnerInvitationCreate(colleague).Execute())
	bob := register("bob@"+domain, "Bob")
	for _, who := range []context.Context{anna, bob} {
		me := made(api.MeAPI.GetMe(who).Execute())
		fmt.Println("partner:", me.Name, "is", me.Partners[0].Role, "of", me.Partners[0].Name)
	}

	// she creates an account: the key makes it safe to ask again
	nordwerk := tenantry.NewAccountCreate("Nordwerk GmbH")
	nordwerk.SetTimeZone("Europe/Berlin")
	create := api.AccountsAPI.CreateAccount(anna, partner).AccountCreate(*nordwerk).IdempotencyKey("order-4711@" + domain)
	account := made(create.Execute()).Id
	if made(create.Execute()).Id == account {
		fmt.Println("account: asked twice, made once")
	}
	fmt.Println("account:", names(made(api.AccountsAPI.ListAccounts(anna, partner).Execute()).Items))

	// whoever is a member may enter it; a problem is a value with a type
	for _, who := range []context.Context{anna, bob} {
		entered, _, err := api.AccountsAPI.SwitchAccount(who, partner, account).Execute()
		if err == nil {
			fmt.Println("enter:", entered.Role)
		} else {
			refused := problem[tenantry.ProblemDetails](err)
			fmt.Println("enter:", refused.Status, refused.Code)
		}
	}

	// people are invited: one who is new, one who is known already, and one by mistake
	invitations := api.InvitationsAPI
	invite := func(email, role string) string {
		body := tenantry.AccountInvitationCreate{Email: email, Role: role}
		return made(invitations.CreateAccountInvitation(anna, partner, account).AccountInvitationCreate(body).Execute()).Id
	}
	otto := invite("otto@"+domain, "account_admin")
	made(invitations.ResendAccountInvitation(anna, partner, account, otto).Execute())
	if _, err := invitations.RevokeAccountInvitation(anna, partner, account, otto).IfMatch("*").Execute(); err != nil {
		log.Fatalln(err)
	}
	invite("eva@"+domain, "account_editor")
	eva := register("eva@"+domain, "Eva")
	invite("bob@"+domain, "account_viewer")
	pending := invitations.ListAccountInvitations(anna, partner, account).Filter([]string{"status:eq:pending"})
	fmt.Println("pending:", joined(made(pending.Execute()).Items, ", ", func(one tenantry.InvitationRead) string {
		return strings.TrimSuffix(one.Email, "@"+domain)
	}))
	token := tokenFor("bob@" + domain)
	look := tenantry.InvitationPreviewRequest{Token: token}
	preview := made(api.RegistrationsAPI.PreviewInvitation(context.Background()).InvitationPreviewRequest(look).Execute())
	into := preview.Account.Get()
	fmt.Println("preview:", preview.GetInvitedBy(), "invites into", into.Name, "as", preview.Role)
	accept := tenantry.RegistrationCreate{Token: token}
	made(api.RegistrationsAPI.CreateRegistration(bob).RegistrationCreate(accept).Execute())
	members := made(api.MembersAPI.ListAccountMembers(anna, partner, account).Sort("name").Execute())
	fmt.Println("members:", joined(members.Items, ", ", func(one tenantry.MemberRead) string { return one.Name }))

	// columns of her own, in an order of her own
	seats := tenantry.NewNumberPropertyCreate("seats", label("Seats"), "number")
	seats.Label.SetDe("Plätze")
	seats.SetUnit("pcs")
	seats.SetMin(0)
	contractEnd := tenantry.NewDatePropertyCreate("contract_end", label("Contract end"), "date")
	fee := tenantry.NewMoneyPropertyCreate("EUR", "fee", label("Fee"), "money")
	options := []tenantry.Option{{Key: "vip", Label: label("VIP")}, {Key: "pilot", Label: label("Pilot")}}
	tags := tenantry.NewMultiSelectPropertyCreate(options, "tags", label("Tags"), "multi_select")
	for _, column := range []tenantry.PropertyCreate{
		{NumberPropertyCreate: seats},
		{DatePropertyCreate: contractEnd},
		{MoneyPropertyCreate: fee},
		{MultiSelectPropertyCreate: tags},
	} {
		made(api.PropertiesAPI.CreateProperty(anna, partner).PropertyCreate(column).Execute())
	}
	order := tenantry.PropertyOrder{Keys: []string{"tags", "seats", "fee", "contract_end"}}
	ordered := made(api.PropertiesAPI.OrderProperties(anna, partner).PropertyOrder(order).Execute())
	fmt.Println("columns:", joined(ordered.Items, ", ", shown))

	// values: a merge patch leaves alone what it does not name, and clears what is nil
	for seats := 1; seats <= 6; seats++ {
		tags := []string{"pilot"}
		if seats%2 == 0 {
			tags = []string{"vip"}
		}
		body := tenantry.NewAccountCreate(fmt.Sprint("Account ", seats))
		body.SetProperties(map[string]any{"seats": seats, "tags": tags, "contract_end": fmt.Sprintf("2027-0%d-01", seats)})
		made(api.AccountsAPI.CreateAccount(anna, partner).AccountCreate(*body).Execute())
	}
	patch := func(properties map[string]any, version string) (*tenantry.AccountRead, *http.Response, error) {
		body := tenantry.NewAccountUpdate()
		body.SetProperties(properties)
		body.SetTimeZoneNil()
		return api.AccountsAPI.UpdateAccount(anna, partner, account).AccountUpdate(*body).IfMatch(version).Execute()
	}
	_, first, err := api.AccountsAPI.GetAccount(anna, partner, account).Execute()
	if err != nil {
		log.Fatalln(err)
	}
	version := first.Header.Get("ETag")
	price := map[string]any{"amount": "12.50", "currency": "EUR"}
	made(patch(map[string]any{"seats": 40, "fee": price, "tags": []string{"vip"}}, version))
	changed := made(patch(map[string]any{"tags": nil, "contract_end": "2027-03-15"}, "*"))
	fmt.Println("values:", joined([]string{"contract_end", "seats", "tags"}, ", ", func(key string) string {
		if value := changed.Properties[key]; value != nil {
			return fmt.Sprint(value)
		}
		return "none"
	}))
	if changed.TimeZone.Get() == nil {
		fmt.Println("time zone: none")
	}

	// a column of every other type: each is told by its type, takes a value, and leads to the account that has it
	manager := made(api.MeAPI.GetMe(anna).Execute()).Id
	sizes := []tenantry.Option{{Key: "large", Label: label("Large")}}
	hall := tenantry.NewTextPropertyCreate("hall", label("Hall"), "text")
	hall.SetMaxLength(40)
	types := joined([]tenantry.PropertyCreate{
		{BooleanPropertyCreate: tenantry.NewBooleanPropertyCreate("premium", label("Premium"), "boolean")},
		{DatetimePropertyCreate: tenantry.NewDatetimePropertyCreate("visited", label("Last visit"), "datetime")},
		{EmailPropertyCreate: tenantry.NewEmailPropertyCreate("contact", label("Contact"), "email")},
		{PhonePropertyCreate: tenantry.NewPhonePropertyCreate("phone", label("Phone"), "phone")},
		{SelectPropertyCreate: tenantry.NewSelectPropertyCreate(sizes, "size", label("Size"), "select")},
		{TextPropertyCreate: hall},
		{UrlPropertyCreate: tenantry.NewUrlPropertyCreate("website", label("Website"), "url")},
		{UserPropertyCreate: tenantry.NewUserPropertyCreate("manager", label("Manager"), "user")},
	}, ", ", func(column tenantry.PropertyCreate) string {
		read := made(api.PropertiesAPI.CreateProperty(anna, partner).PropertyCreate(column).Execute())
		name := strings.TrimPrefix(fmt.Sprintf("%T", read.GetActualInstance()), "*tenantry.")
		return strings.ToLower(strings.TrimSuffix(name, "PropertyRead"))
	})
	fmt.Println("types:", types)
	everything := made(patch(map[string]any{
		"premium": true, "visited": "2027-01-31T10:30:00+01:00", "contact": "ops@nordwerk.example",
		"phone": "+49 30 123456", "size": "large", "hall": "Hall 3", "website": "https://nordwerk.example",
		"manager": manager,
	}, "*")).Properties
	if everything["manager"] == manager {
		everything["manager"] = "Anna"
	}
	keys := []string{"premium", "visited", "contact", "phone", "size", "hall", "website", "manager"}
	fmt.Println("typed:", joined(keys, ", ", func(key string) string { return fmt.Sprint(everything[key]) }))
	led := []tenantry.AccountRead{}
	for _, lead := range []string{
		"premium:eq:true", "visited:lt:2027-02-01", "contact:contains:ops@", "phone:starts_with:+49", "size:eq:large",
		"hall:eq:hall 3", "website:contains:nordwerk", "manager:eq:" + manager,
	} {
		led = append(led, accounts(bob, partner, []string{"properties." + lead})...)
	}
	fmt.Println("by each:", names(led))

	// the table, filtered and sorted, in pages of two; with typed conditions; by a view that others share; as a file
	fmt.Println("pages:", names(accounts(bob, partner, []string{"properties.seats:gte:2", "status:eq:active"})))
	day, start := "2027-04-01", "Nord"
	ending := tenantry.SearchCondition{
		Field: "properties.contract_end", Operator: "lt", Value: tenantry.SearchConditionValue{String: &day},
	}
	search := tenantry.NewAccountSearch()
	search.SetAll([]tenantry.SearchCondition{ending})
	search.SetAny([]tenantry.SearchCondition{
		{Field: "properties.seats", Operator: "in", Value: tenantry.SearchConditionValue{ArrayOfString: &[]string{"1", "2"}}},
		{Field: "name", Operator: "starts_with", Value: tenantry.SearchConditionValue{String: &start}},
	})
	search.SetSort("name")
	searched := made(api.AccountsAPI.SearchAccounts(anna, partner).AccountSearch(*search).Execute())
	fmt.Println("search:", names(searched.Items))
	soon := tenantry.NewViewCreate("Ending soon")
	soon.SetShared(true)
	soon.SetColumns([]string{"name", "properties.contract_end"})
	soon.SetAll([]tenantry.SearchCondition{ending})
	soon.SetSort("name")
	view := made(api.ViewsAPI.CreateView(anna, partner).ViewCreate(*soon).Execute()).Id
	viewed := made(api.AccountsAPI.ListAccounts(bob, partner).View(view).Execute())
	fmt.Println("view:", joined(viewed.Items, ", ", func(row tenantry.AccountRead) string {
		return fmt.Sprint(row.Name, " ", row.Properties["contract_end"])
	}))
	csv := made(api.AccountsAPI.ExportAccountsAsCsv(bob, partner).View(view).Execute())
	fmt.Println("csv:", strings.Count(csv, "\r\n"), "lines")

	// the file comes back: tried first, then done; what was exported imports back unchanged
	path := filepath.Join(os.TempDir(), "accounts-"+domain+".csv")
	defer os.Remove(path)
	if err := os.WriteFile(path, []byte(csv), 0o600); err != nil {
		log.Fatalln(err)
	}
	file, err := os.Open(path)
	if err != nil {
		log.Fatalln(err)
	}
	defer file.Close()
	begun := made(api.ImportsAPI.CreateAccountImport(anna, partner).File(file).Match("name").Execute()).Id
	reached := func(status tenantry.ImportStatus) *tenantry.AccountImportRead {
		for tries := 0; tries < 300; tries++ {
			now := made(api.ImportsAPI.GetAccountImport(anna, partner, begun).Execute())
			if now.Status == status {
				return now
			}
			time.Sleep(100 * time.Millisecond)
		}
		log.Fatalln("not", status)
		return nil
	}
	reached("checked")
	made(api.ImportsAPI.ConfirmAccountImport(anna, partner, begun).Execute())
	counts := reached("done").Result.Get()
	fmt.Printf("import: %d created, %d updated, %d unchanged\n", counts.Created, counts.Updated, counts.Unchanged)

	// problems: somebody was faster, and a field that is not valid
	_, _, err = patch(map[string]any{"seats": 41}, version)
	stale := problem[tenantry.ProblemDetails](err)
	fmt.Println("problem:", stale.Status, stale.Code)
	wrong := tenantry.NewAccountCreate("Ost AG")
	wrong.SetProperties(map[string]any{"seats": -1})
	_, _, err = api.AccountsAPI.CreateAccount(anna, partner).AccountCreate(*wrong).Execute()
	invalid := problem[tenantry.ProblemDetails](err)
	fmt.Println("problem:", invalid.Status, joined(invalid.Errors, ",", func(one tenantry.FieldError) string {
		return one.Pointer + " " + one.Code
	}))

	// units of a feature that the operator has granted are taken, up to the limit
	licence := tenantry.NewLicenceCreate("assets", 3, "A trial")
	made(api.LicencesAPI.GrantLicence(operator, partner, account).LicenceCreate(*licence).Execute())
	claim := func(resource string) (*tenantry.ClaimRead, *http.Response, error) {
		body := tenantry.NewClaimCreate("assets", resource)
		body.SetUnits(2)
		return api.ClaimsAPI.CreateClaim(eva, partner, account).ClaimCreate(*body).Execute()
	}
	taken := made(claim("plant-1"))
	fmt.Println("claim:", taken.Units, taken.Feature, "for", taken.Resource)
	_, _, err = claim("plant-2")
	refused := problem[tenantry.EntitlementProblem](err)
	used, limit, available := refused.GetUsed(), refused.GetLimit(), refused.GetAvailable()
	fmt.Println("claim:", refused.Code, used, "of", limit, "used,", available, "left")
	released, err := api.ClaimsAPI.ReleaseClaim(eva, partner, account, taken.Id).Execute()
	if err != nil {
		log.Fatalln(err)
	}
	fmt.Println("release:", released.StatusCode)
}
