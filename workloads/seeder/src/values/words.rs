//! Words that values are made of.

/// Given names.
pub const FIRST: [&str; 32] = [
    "Ada", "Bruno", "Carla", "Deniz", "Elif", "Farid", "Greta", "Hana", "Ivo", "Jana", "Kofi", "Lena", "Mateo",
    "Nadia", "Olga", "Pavel", "Quinn", "Rosa", "Samir", "Tara", "Umut", "Vera", "Wim", "Xenia", "Yusuf", "Zoe", "Aiko",
    "Bela", "Chidi", "Dora", "Emil", "Freya",
];
/// Family names.
pub const LAST: [&str; 32] = [
    "Adler", "Bauer", "Castro", "Demir", "Engel", "Fischer", "Garcia", "Hansen", "Ivanov", "Jensen", "Kaya", "Lopez",
    "Moreau", "Novak", "Okafor", "Petrov", "Quist", "Rossi", "Silva", "Tanaka", "Ueda", "Vogel", "Weber", "Xu",
    "Yilmaz", "Zimmer", "Brandt", "Costa", "Duarte", "Evans", "Frank", "Gruber",
];
/// Cities.
pub const CITIES: [&str; 24] = [
    "Accra", "Ankara", "Athens", "Berlin", "Bogota", "Cairo", "Chicago", "Dakar", "Dublin", "Hamburg", "Izmir",
    "Kyoto", "Lagos", "Lima", "Lisbon", "Madrid", "Nairobi", "Oslo", "Prague", "Quito", "Riga", "Seoul", "Vienna",
    "Zurich",
];
/// Countries, with their codes.
pub const COUNTRIES: [(&str, &str); 16] = [
    ("Austria", "AT"),
    ("Brazil", "BR"),
    ("Canada", "CA"),
    ("Colombia", "CO"),
    ("Denmark", "DK"),
    ("Egypt", "EG"),
    ("France", "FR"),
    ("Germany", "DE"),
    ("Ghana", "GH"),
    ("Greece", "GR"),
    ("Ireland", "IE"),
    ("Japan", "JP"),
    ("Kenya", "KE"),
    ("Norway", "NO"),
    ("Portugal", "PT"),
    ("Spain", "ES"),
];
/// What one does.
pub const VERBS: [&str; 16] = [
    "Buy", "Call", "Check", "Clean", "Deliver", "Draw", "Fetch", "Fix", "Measure", "Move", "Order", "Paint", "Plan",
    "Repair", "Send", "Write",
];
/// With what.
pub const THINGS: [&str; 24] = [
    "apples",
    "the bicycle",
    "the boiler",
    "bread",
    "the camera",
    "coffee",
    "the door",
    "flowers",
    "the garden",
    "the invoice",
    "the lamp",
    "lunch",
    "the map",
    "milk",
    "paper",
    "the parcel",
    "the report",
    "the roof",
    "shoes",
    "the table",
    "tea",
    "tickets",
    "tools",
    "the van",
];
/// Streets.
pub const STREETS: [&str; 12] = [
    "Bridge Street",
    "Canal Road",
    "Church Lane",
    "Garden Street",
    "Harbour Road",
    "High Street",
    "Lake View",
    "Market Square",
    "Mill Lane",
    "North Road",
    "Park Avenue",
    "Station Road",
];
/// What companies are called after a name.
pub const COMPANIES: [&str; 8] = [
    "Bakery",
    "Logistics",
    "Works",
    "Garage",
    "Books",
    "Trading",
    "Tools",
    "Labs",
];
/// Currencies.
pub const CURRENCIES: [&str; 8] = ["EUR", "USD", "GBP", "CHF", "JPY", "NOK", "BRL", "KES"];
/// Colours.
pub const COLORS: [&str; 10] = [
    "black", "blue", "brown", "green", "grey", "orange", "purple", "red", "white", "yellow",
];
/// States of something that is worked on.
pub const STATES: [&str; 4] = ["open", "started", "done", "cancelled"];
/// Languages.
pub const LANGUAGES: [&str; 8] = ["de", "en", "es", "fr", "it", "ja", "pt", "tr"];
/// Sentences.
pub const SENTENCES: [&str; 10] = [
    "Please ring twice.",
    "It was cheaper last week.",
    "Ask for the one in the back.",
    "Needs a second look.",
    "The neighbours have a key.",
    "Goes out with the morning van.",
    "Paid in cash.",
    "Keep it cool and dry.",
    "The label is on the left side.",
    "Nobody was there; try again tomorrow.",
];
