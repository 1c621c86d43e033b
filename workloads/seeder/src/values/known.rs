//! Columns whose names say what is in them: a city in `city`, a price in `price`.

use super::{random::Random, time, words};
use crate::schema::Kind;

/// What a column's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    Person,
    First,
    Last,
    Login,
    Email,
    Phone,
    Company,
    Title,
    Sentence,
    City,
    Country,
    CountryCode,
    Street,
    PostalCode,
    Url,
    Slug,
    State,
    Color,
    Currency,
    Language,
    Code,
    /// A flag that is set so many times in a hundred.
    Flag(u8),
    /// A whole number in this range.
    Whole(i32, i32),
    /// A number in this range.
    Number(i32, i32),
    Created,
    Later,
    Birthday,
}

/// What this name says of a column of this type, if it is one of those people use.
pub fn recognise(name: &str, kind: &Kind) -> Option<Known> {
    let name = name.to_lowercase();
    let whole = |low, high| Some(Known::Whole(low, high));
    match kind {
        Kind::Text(_) => text(&name),
        Kind::Bool => match name.as_str() {
            "done" | "completed" | "finished" | "closed" | "paid" | "shipped" => Some(Known::Flag(30)),
            "active" | "enabled" | "visible" | "public" | "published" | "available" => Some(Known::Flag(90)),
            "deleted" | "archived" | "disabled" | "blocked" | "hidden" | "admin" | "is_admin" => Some(Known::Flag(5)),
            _ => None,
        },
        Kind::Integer(_) => match name.as_str() {
            "quantity" | "qty" | "pieces" => whole(1, 20),
            "amount" | "count" | "stock" => whole(0, 500),
            "age" => whole(18, 90),
            "year" => whole(1990, 2025),
            "votes" | "likes" | "score" | "points" | "views" => whole(0, 1000),
            "priority" | "level" | "rating" | "stars" => whole(1, 5),
            "price" | "cost" | "total" => whole(1, 500),
            "percent" | "percentage" | "progress" | "discount" | "position" | "sort" | "rank" => whole(0, 100),
            _ => None,
        },
        Kind::Numeric(_) | Kind::Float { .. } => match name.as_str() {
            "price" | "cost" | "amount" | "total" | "subtotal" | "net" | "gross" => Some(Known::Number(1, 500)),
            "lat" | "latitude" => Some(Known::Number(-89, 89)),
            "lon" | "lng" | "longitude" => Some(Known::Number(-179, 179)),
            "percent" | "percentage" | "progress" | "discount" => Some(Known::Number(0, 100)),
            "rating" | "score" => Some(Known::Number(1, 5)),
            "temperature" => Some(Known::Number(-20, 40)),
            "weight" | "distance" | "height" | "width" | "length" => Some(Known::Number(1, 100)),
            _ => None,
        },
        Kind::Date | Kind::Timestamp | Kind::TimestampTz => match name.as_str() {
            "birthday" | "birth_date" | "born" | "born_at" | "born_on" | "date_of_birth" => Some(Known::Birthday),
            "updated_at" | "updated" | "modified_at" | "modified" | "changed_at" | "ends_at" | "ended_at"
            | "finished_at" | "completed_at" | "done_at" | "due_at" | "due" | "due_date" | "due_on" | "expires_at"
            | "shipped_at" | "delivered_at" | "closed_at" | "deleted_at" | "ends_on" | "end_date" | "valid_to"
            | "valid_until" => Some(Known::Later),
            _ => Some(Known::Created),
        },
        _ => None,
    }
}

fn text(name: &str) -> Option<Known> {
    Some(match name {
        "name" | "full_name" | "fullname" | "display_name" | "person" | "customer" | "owner" | "author"
        | "assignee" | "contact" | "recipient" | "created_by" | "customer_name" => Known::Person,
        "first_name" | "firstname" | "given_name" => Known::First,
        "last_name" | "lastname" | "surname" | "family_name" => Known::Last,
        "username" | "user_name" | "login" | "nick" | "nickname" | "handle" => Known::Login,
        "email" | "mail" | "e_mail" | "email_address" => Known::Email,
        "phone" | "phone_number" | "mobile" | "telephone" | "fax" => Known::Phone,
        "company" | "organisation" | "organization" | "employer" | "vendor" | "supplier" | "shop" => Known::Company,
        "title" | "subject" | "task" | "todo" | "headline" | "item" | "product" | "label" => Known::Title,
        "description" | "body" | "content" | "text" | "comment" | "note" | "notes" | "summary" | "message"
        | "remark" | "bio" => Known::Sentence,
        "city" | "town" | "place" | "location" => Known::City,
        "country" => Known::Country,
        "country_code" => Known::CountryCode,
        "street" | "address" | "address_line1" | "street_address" => Known::Street,
        "zip" | "zip_code" | "postcode" | "postal_code" | "plz" => Known::PostalCode,
        "url" | "website" | "link" | "homepage" | "image_url" | "avatar_url" => Known::Url,
        "slug" | "path" => Known::Slug,
        "state" | "status" | "phase" => Known::State,
        "color" | "colour" => Known::Color,
        "currency" => Known::Currency,
        "language" | "locale" | "lang" => Known::Language,
        "sku" | "code" | "reference" | "ref" | "number" | "serial" | "barcode" => Known::Code,
        _ => return None,
    })
}

/// A text, or a flag, or a moment. `None` for numbers: what a column takes of its range is decided where its other limits are known.
/// `row` is the same for all columns of a row, so that what ends ends after it began.
pub fn value(known: Known, kind: &Kind, random: &mut Random, row: u64) -> Option<String> {
    let lower = |word: &str| word.to_lowercase().replace(' ', "-");
    Some(match known {
        Known::Person => format!("{} {}", random.word(&words::FIRST), random.word(&words::LAST)),
        Known::First => random.word(&words::FIRST).to_owned(),
        Known::Last => random.word(&words::LAST).to_owned(),
        Known::Login => format!("{}{}", lower(random.word(&words::FIRST)), random.below(1000)),
        Known::Email => format!(
            "{}.{}@example.com",
            lower(random.word(&words::FIRST)),
            lower(random.word(&words::LAST))
        ),
        Known::Phone => format!("+49 30 {:07}", random.below(10_000_000)),
        Known::Company => format!("{} {}", random.word(&words::LAST), random.word(&words::COMPANIES)),
        Known::Title => format!("{} {}", random.word(&words::VERBS), random.word(&words::THINGS)),
        Known::Sentence => format!("{} {}", random.word(&words::SENTENCES), random.word(&words::SENTENCES)),
        Known::City => random.word(&words::CITIES).to_owned(),
        Known::Country => random.one(&words::COUNTRIES)?.0.to_owned(),
        Known::CountryCode => random.one(&words::COUNTRIES)?.1.to_owned(),
        Known::Street => format!("{} {}", random.word(&words::STREETS), 1 + random.below(120)),
        Known::PostalCode => format!("{:05}", random.below(100_000)),
        Known::Url => format!(
            "https://example.com/{}/{}",
            lower(random.word(&words::VERBS)),
            random.below(10_000)
        ),
        Known::Slug => format!(
            "{}-{}",
            lower(random.word(&words::VERBS)),
            lower(random.word(&words::THINGS))
        ),
        Known::State => random.word(&words::STATES).to_owned(),
        Known::Color => random.word(&words::COLORS).to_owned(),
        Known::Currency => random.word(&words::CURRENCIES).to_owned(),
        Known::Language => random.word(&words::LANGUAGES).to_owned(),
        Known::Code => format!("{:08X}", random.below(1 << 32)),
        Known::Flag(share) => random.percent(share).to_string(),
        Known::Created => time::moment(kind, time::created(row)),
        Known::Later => time::moment(kind, time::created(row) + 3600 + random.below(30 * 86_400)),
        Known::Birthday => time::moment(kind, time::before(random)),
        Known::Whole(..) | Known::Number(..) => return None,
    })
}
