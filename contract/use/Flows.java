// What an integrator writes with openapi-generator's client for Java: the steps of flows.txt. Compiled, then run.
import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonProperty;
import java.io.IOException;
import java.math.BigDecimal;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.UUID;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import tenantry.ApiClient;
import tenantry.ApiException;
import tenantry.api.*;
import tenantry.model.*;

public class Flows {
  static final String URL = System.getenv("TENANTRY_URL");
  static final String DOMAIN = System.getenv("MAIL_DOMAIN");
  static final String PASSWORD = "nine purple lanterns";
  static final ApiClient ANONYMOUS = client();
  static final Set<String> SEEN = new HashSet<>();

  static ApiClient client() {
    var client = new ApiClient();
    client.updateBaseUri(URL);
    return client;
  }

  static ApiClient logIn(String email, String password) throws ApiException {
    var tokens = new SessionsApi(ANONYMOUS).createSession(new SessionCreate().email(email).password(password));
    return client().setRequestInterceptor(
        request -> request.header("Authorization", "Bearer " + tokens.getAccessToken()));
  }

  /** What is no JSON, as it comes: the generated methods read texts as JSON, too. */
  static String text(ApiClient client, String path) throws IOException, InterruptedException {
    var request = HttpRequest.newBuilder(URI.create(URL + path));
    if (client.getRequestInterceptor() != null) {
      client.getRequestInterceptor().accept(request);
    }
    return client.getHttpClient().send(request.build(), HttpResponse.BodyHandlers.ofString()).body();
  }

  /** The token in a mail to somebody, which comes a moment after the invitation; each is good once. */
  static String tokenFor(String email) throws IOException, InterruptedException {
    for (int tries = 0; tries < 300; tries++) {
      Matcher mails = Pattern.compile("href=\"(/dev/mail/[^\"]+)\"").matcher(text(ANONYMOUS, "/dev/mail"));
      while (mails.find()) {
        String shown = text(ANONYMOUS, mails.group(1));
        Matcher token = Pattern.compile("#token=([\\w.-]+)").matcher(shown);
        if (shown.contains("<dd>" + email + "</dd>") && token.find() && SEEN.add(token.group(1))) {
          return token.group(1);
        }
      }
      Thread.sleep(100);
    }
    throw new IllegalStateException("no mail to " + email);
  }

  static ApiClient register(String email, String name) throws Exception {
    var body = new RegistrationCreate().token(tokenFor(email)).name(name).password(PASSWORD);
    new RegistrationsApi(ANONYMOUS).createRegistration(body);
    return logIn(email, PASSWORD);
  }

  /** Every account for which the conditions hold, page by page. */
  static List<AccountRead> accounts(ApiClient client, UUID partner, List<String> conditions) throws ApiException {
    List<AccountRead> found = new ArrayList<>();
    String cursor = null;
    do {
      var page = new AccountsApi(client).listAccounts(AccountsApi.APIListAccountsRequest.newBuilder()
          .partnerId(partner).filter(conditions).sort("-properties.seats").limit(2).cursor(cursor).build());
      found.addAll(page.getItems());
      cursor = page.getNextCursor();
    } while (cursor != null);
    return found;
  }

  /** An import, when it has come so far. */
  static AccountImportRead reached(ImportsApi imports, UUID partner, UUID id, ImportStatus status) throws Exception {
    for (int tries = 0; tries < 300; tries++) {
      var now = imports.getAccountImport(partner, id, null);
      if (now.getStatus() == status) {
        return now;
      }
      Thread.sleep(100);
    }
    throw new IllegalStateException("not " + status);
  }

  interface Call {
    Object answer() throws ApiException;
  }

  /** What the service says that is wrong, as a value; the exception holds its text. */
  static <T> T problem(Class<T> type, Call call) throws IOException {
    try {
      throw new IllegalStateException("not refused: " + call.answer());
    } catch (ApiException refused) {
      return ANONYMOUS.getObjectMapper().readValue(refused.getResponseBody(), type);
    }
  }

  /** Clears the time zone: the generated class leaves out what is null, and would let it be. */
  static class WithoutTimeZone extends AccountUpdate {
    @Override
    @JsonProperty("time_zone")
    @JsonInclude(JsonInclude.Include.ALWAYS)
    public String getTimeZone() {
      return null;
    }
  }

  /** Columns are told apart by their class. */
  static String shown(PropertyRead column) {
    Object one = column.getActualInstance();
    if (one instanceof NumberPropertyRead number) {
      return number.getKey() + " in " + number.getUnit();
    } else if (one instanceof MoneyPropertyRead money) {
      return money.getKey() + " in " + money.getCurrency();
    } else if (one instanceof MultiSelectPropertyRead choice) {
      return choice.getKey() + " of " + joined(choice.getOptions(), " ", Option::getKey);
    } else if (one instanceof DatePropertyRead date) {
      return date.getKey();
    }
    return one.toString();
  }

  static <T> String joined(List<T> things, String between, Function<T, Object> shown) {
    return things.stream().map(one -> shown.apply(one).toString()).collect(Collectors.joining(between));
  }

  static String names(List<AccountRead> rows) {
    return joined(rows, ", ", AccountRead::getName);
  }

  static void print(Object... words) {
    System.out.println(joined(List.of(words), " ", Object::toString));
  }

  public static void main(String[] arguments) throws Exception {
    // an operator opens a partner, whose first admin follows the link of a mail, and lets a colleague see it
    var operator = logIn("operator@example.com", System.getenv("OPERATOR_PASSWORD"));
    var opened = new PartnerCreate().name("Sensorhaus GmbH").firstAdminEmail("anna@" + DOMAIN);
    var partner = new PartnersApi(operator).createPartner(opened, null).getId();
    var anna = register("anna@" + DOMAIN, "Anna");
    new InvitationsApi(anna).createPartnerInvitation(partner, new PartnerInvitationCreate()
        .email("bob@" + DOMAIN).role(PartnerInvitationCreate.RoleEnum.PARTNER_VIEWER), null);
    var bob = register("bob@" + DOMAIN, "Bob");
    for (var client : List.of(anna, bob)) {
      var me = new MeApi(client).getMe((String) null);
      var its = me.getPartners().get(0);
      print("partner:", me.getName(), "is", its.getRole(), "of", its.getName());
    }

    // she creates an account: the key makes it safe to ask again
    var table = new AccountsApi(anna);
    var nordwerk = new AccountCreate().name("Nordwerk GmbH").timeZone("Europe/Berlin");
    var account = table.createAccount(partner, nordwerk, "order-4711@" + DOMAIN).getId();
    var again = table.createAccount(partner, nordwerk, "order-4711@" + DOMAIN).getId();
    print("account: asked twice,", again.equals(account) ? "made once" : "made twice");
    var all = AccountsApi.APIListAccountsRequest.newBuilder().partnerId(partner).build();
    print("account:", names(table.listAccounts(all).getItems()));

    // whoever is a member may enter it; a problem is a value with a type
    print("enter:", table.switchAccount(partner, account).getRole());
    var outside = problem(ProblemDetails.class, () -> new AccountsApi(bob).switchAccount(partner, account));
    print("enter:", outside.getStatus(), outside.getCode());

    // people are invited: one who is new, one who is known already, and one by mistake
    var invitations = new InvitationsApi(anna);
    var admin = new AccountInvitationCreate().role(AccountInvitationCreate.RoleEnum.ACCOUNT_ADMIN);
    var editor = new AccountInvitationCreate().role(AccountInvitationCreate.RoleEnum.ACCOUNT_EDITOR);
    var viewer = new AccountInvitationCreate().role(AccountInvitationCreate.RoleEnum.ACCOUNT_VIEWER);
    var otto = invitations.createAccountInvitation(partner, account, admin.email("otto@" + DOMAIN), null).getId();
    invitations.resendAccountInvitation(partner, account, otto, null);
    invitations.revokeAccountInvitation(partner, account, otto, "*");
    invitations.createAccountInvitation(partner, account, editor.email("eva@" + DOMAIN), null);
    var eva = register("eva@" + DOMAIN, "Eva");
    invitations.createAccountInvitation(partner, account, viewer.email("bob@" + DOMAIN), null);
    var pending = invitations.listAccountInvitations(InvitationsApi.APIListAccountInvitationsRequest.newBuilder()
        .partnerId(partner).accountId(account).filter(List.of("status:eq:pending")).build());
    print("pending:", joined(pending.getItems(), ", ", one -> one.getEmail().replaceAll("@.*", "")));
    var token = tokenFor("bob@" + DOMAIN);
    var preview = new RegistrationsApi(ANONYMOUS).previewInvitation(new InvitationPreviewRequest().token(token));
    var into = preview.getAccount().getName();
    print("preview:", preview.getInvitedBy(), "invites into", into, "as", preview.getRole());
    new RegistrationsApi(bob).createRegistration(new RegistrationCreate().token(token));
    var members = new MembersApi(anna).listAccountMembers(MembersApi.APIListAccountMembersRequest.newBuilder()
        .partnerId(partner).accountId(account).sort("name").build());
    print("members:", joined(members.getItems(), ", ", MemberRead::getName));

    // columns of her own, in an order of her own
    var seats = new NumberPropertyCreate().type(NumberPropertyCreate.TypeEnum.NUMBER)
        .key("seats").label(new Label().en("Seats").de("Plätze")).unit("pcs").min(BigDecimal.ZERO);
    var contractEnd = new DatePropertyCreate().type(DatePropertyCreate.TypeEnum.DATE)
        .key("contract_end").label(new Label().en("Contract end"));
    var fee = new MoneyPropertyCreate().type(MoneyPropertyCreate.TypeEnum.MONEY)
        .key("fee").label(new Label().en("Fee")).currency("EUR");
    var tags = new MultiSelectPropertyCreate().type(MultiSelectPropertyCreate.TypeEnum.MULTI_SELECT)
        .key("tags").label(new Label().en("Tags"))
        .addOptionsItem(new Option().key("vip").label(new Label().en("VIP")))
        .addOptionsItem(new Option().key("pilot").label(new Label().en("Pilot")));
    var properties = new PropertiesApi(anna);
    for (var column : List.of(new PropertyCreate(seats), new PropertyCreate(contractEnd), new PropertyCreate(fee),
        new PropertyCreate(tags))) {
      properties.createProperty(partner, column, null);
    }
    var order = new PropertyOrder().keys(
        new LinkedHashSet<>(List.of("tags", "seats", "fee", "contract_end"))); // a set that keeps its order
    print("columns:", joined(properties.orderProperties(partner, order, null).getItems(), ", ", Flows::shown));

    // values: a merge patch leaves alone what it does not name, and clears what is null
    for (int n = 1; n <= 6; n++) {
      table.createAccount(partner, new AccountCreate().name("Account " + n).properties(Map.of(
          "seats", n, "tags", List.of(n % 2 == 0 ? "vip" : "pilot"), "contract_end", "2027-0" + n + "-01")), null);
    }
    var version = table.getAccountWithHttpInfo(partner, account, null).getHeaders().get("etag").get(0);
    var price = Map.of("amount", "12.50", "currency", "EUR");
    var values = new AccountUpdate().properties(Map.of("seats", 40, "fee", price, "tags", List.of("vip")));
    table.updateAccount(partner, account, values, version);
    var cleared = new HashMap<String, Object>(Map.of("contract_end", "2027-03-15"));
    cleared.put("tags", null);
    var changed = table.updateAccount(partner, account, new WithoutTimeZone().properties(cleared), "*");
    print("values:", joined(List.of("contract_end", "seats", "tags"), ", ",
        key -> Objects.requireNonNullElse(changed.getProperties().get(key), "none")));
    print("time zone:", Objects.requireNonNullElse(changed.getTimeZone(), "none"));

    // a column of every other type: each is told by its type, takes a value, and leads to the account that has it
    var manager = new MeApi(anna).getMe((String) null).getId();
    var large = new Option().key("large").label(new Label().en("Large"));
    var others = List.of(
        new PropertyCreate(new BooleanPropertyCreate().type(BooleanPropertyCreate.TypeEnum.BOOLEAN)
            .key("premium").label(new Label().en("Premium"))),
        new PropertyCreate(new DatetimePropertyCreate().type(DatetimePropertyCreate.TypeEnum.DATETIME)
            .key("visited").label(new Label().en("Last visit"))),
        new PropertyCreate(new EmailPropertyCreate().type(EmailPropertyCreate.TypeEnum.EMAIL)
            .key("contact").label(new Label().en("Contact"))),
        new PropertyCreate(new PhonePropertyCreate().type(PhonePropertyCreate.TypeEnum.PHONE)
            .key("phone").label(new Label().en("Phone"))),
        new PropertyCreate(new SelectPropertyCreate().type(SelectPropertyCreate.TypeEnum.SELECT)
            .key("size").label(new Label().en("Size")).addOptionsItem(large)),
        new PropertyCreate(new TextPropertyCreate().type(TextPropertyCreate.TypeEnum.TEXT)
            .key("hall").label(new Label().en("Hall")).maxLength(40)),
        new PropertyCreate(new UrlPropertyCreate().type(UrlPropertyCreate.TypeEnum.URL)
            .key("website").label(new Label().en("Website"))),
        new PropertyCreate(new UserPropertyCreate().type(UserPropertyCreate.TypeEnum.USER)
            .key("manager").label(new Label().en("Manager"))));
    List<String> types = new ArrayList<>();
    for (var column : others) {
      types.add(properties.createProperty(partner, column, null).getActualInstance().getClass().getSimpleName());
    }
    print("types:", joined(types, ", ", one -> one.replace("PropertyRead", "").toLowerCase()));
    var everything = new LinkedHashMap<String, Object>();
    everything.put("premium", true);
    everything.put("visited", "2027-01-31T10:30:00+01:00");
    everything.put("contact", "ops@nordwerk.example");
    everything.put("phone", "+49 30 123456");
    everything.put("size", "large");
    everything.put("hall", "Hall 3");
    everything.put("website", "https://nordwerk.example");
    everything.put("manager", manager);
    var kept = table.updateAccount(partner, account, new AccountUpdate().properties(everything), "*").getProperties();
    print("typed:", joined(List.copyOf(everything.keySet()), ", ",
        key -> manager.toString().equals(kept.get(key)) ? "Anna" : kept.get(key)));
    List<AccountRead> led = new ArrayList<>();
    for (var lead : List.of("premium:eq:true", "visited:lt:2027-02-01", "contact:contains:ops@",
        "phone:starts_with:+49", "size:eq:large", "hall:eq:hall 3", "website:contains:nordwerk",
        "manager:eq:" + manager)) {
      led.addAll(accounts(bob, partner, List.of("properties." + lead)));
    }
    print("by each:", names(led));

    // the table, filtered and sorted, in pages of two; with typed conditions; by a view that others share; as a file
    print("pages:", names(accounts(bob, partner, List.of("properties.seats:gte:2", "status:eq:active"))));
    var ending = new SearchCondition().field("properties.contract_end").operator("lt").value("2027-04-01");
    var search = new AccountSearch().addAllItem(ending)
        .addAnyItem(new SearchCondition().field("properties.seats").operator("in").value(List.of("1", "2")))
        .addAnyItem(new SearchCondition().field("name").operator("starts_with").value("Nord"))
        .sort("name");
    print("search:", names(table.searchAccounts(partner, search).getItems()));
    var soon = new ViewCreate().name("Ending soon").shared(true).sort("name").addAllItem(ending)
        .columns(List.of("name", "properties.contract_end"));
    var view = new ViewsApi(anna).createView(partner, soon, null).getId();
    var viewed = new AccountsApi(bob).listAccounts(
        AccountsApi.APIListAccountsRequest.newBuilder().partnerId(partner).view(view).build());
    print("view:", joined(viewed.getItems(), ", ",
        row -> row.getName() + " " + row.getProperties().get("contract_end")));
    var csv = text(bob, "/v1/partners/" + partner + "/accounts.csv?view=" + view);
    print("csv:", csv.lines().count(), "lines");

    // the file comes back: tried first, then done; what was exported imports back unchanged
    var file = Files.createTempFile("accounts", ".csv");
    Files.writeString(file, csv);
    var imports = new ImportsApi(anna);
    var begun = imports.createAccountImport(ImportsApi.APICreateAccountImportRequest.newBuilder()
        .partnerId(partner)._file(file.toFile()).match("name").build()).getId();
    reached(imports, partner, begun, ImportStatus.CHECKED);
    imports.confirmAccountImport(partner, begun, null, null);
    var counts = reached(imports, partner, begun, ImportStatus.DONE).getResult();
    print("import:", counts.getCreated(), "created,", counts.getUpdated(), "updated,", counts.getUnchanged(), "unchanged");
    Files.delete(file);

    // problems: somebody was faster, and a field that is not valid
    var stale = problem(ProblemDetails.class, () -> table.updateAccount(partner, account, values, version));
    print("problem:", stale.getStatus(), stale.getCode());
    var wrong = new AccountCreate().name("Ost AG").properties(Map.of("seats", -1));
    var invalid = problem(ProblemDetails.class, () -> table.createAccount(partner, wrong, null));
    print("problem:", invalid.getStatus(),
        joined(invalid.getErrors(), ",", one -> one.getPointer() + " " + one.getCode()));

    // units of a feature that the operator has granted are taken, up to the limit
    var licence = new LicenceCreate().feature("assets").units(3).reason("A trial");
    new LicencesApi(operator).grantLicence(partner, account, licence, null);
    var claims = new ClaimsApi(eva);
    var plant = new ClaimCreate().feature("assets").units(2);
    var taken = claims.createClaim(partner, account, plant.resource("plant-1"), null);
    print("claim:", taken.getUnits(), taken.getFeature(), "for", taken.getResource());
    var refused = problem(EntitlementProblem.class,
        () -> claims.createClaim(partner, account, plant.resource("plant-2"), null));
    print("claim:", refused.getCode(), refused.getUsed(), "of", refused.getLimit(), "used,",
        refused.getAvailable(), "left");
    var released = claims.releaseClaimWithHttpInfo(partner, account, taken.getId(), null, null);
    print("release:", released.getStatusCode());
  }
}
