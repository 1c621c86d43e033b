//! The tokens of a Secret, read again when they change.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use serde::Serialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::watch;

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, utoipa::ToSchema)]
pub enum Role {
    /// Look.
    Viewer,
    /// Look and change.
    Editor,
}

/// Shorter ones could be guessed.
const SHORTEST: usize = 16;

/// Why it is not known who may do what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Neither tokens nor a proxy.
    #[error(
        "nobody could be told from anybody: set SYNC_ACCESS_DIR to a folder with the files `token` and `viewer-token`, \
         or SYNC_IDENTITY_HEADER where a proxy in front says who asks, or give `--access none` for development"
    )]
    Nothing,
    /// A file cannot be read.
    #[error("cannot read {file}: {reason}")]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file holds no token.
    #[error(
        "{file} holds no token: it must be one line of {SHORTEST} or more letters, digits and signs, without blanks"
    )]
    NoToken {
        /// Which.
        file: PathBuf,
    },
    /// There is no file.
    #[error("{folder} has neither `token` nor `viewer-token`")]
    Empty {
        /// Where.
        folder: PathBuf,
    },
    /// One token cannot stand for two roles.
    #[error("`token` and `viewer-token` in {folder} are the same; whoever looks could change: make them differ")]
    Same {
        /// Where.
        folder: PathBuf,
    },
}

/// A secret word; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// From what a file holds; a newline at its end does not count.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_end_matches(['\r', '\n']);
        (text.len() >= SHORTEST && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| Self(text.to_owned()))
    }

    /// Whether it is this one. Takes the same time wherever they differ, and whatever their lengths: their hashes are compared.
    pub fn is(&self, shown: &str) -> bool {
        let (own, shown) = (Sha256::digest(&self.0), Sha256::digest(shown));
        own.as_slice().ct_eq(shown.as_slice()).into()
    }

    /// To make something of it that only who knows it can make.
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// One token a role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    editor: Option<Token>,
    viewer: Option<Token>,
}

impl Tokens {
    /// Of these.
    pub fn new(editor: Option<Token>, viewer: Option<Token>) -> Self {
        Self { editor, viewer }
    }

    /// What who shows this may do.
    pub fn role(&self, shown: &str) -> Option<Role> {
        // Both are looked at, so that the time does not tell which it was.
        let is = |token: &Option<Token>| token.as_ref().is_some_and(|token| token.is(shown));
        match (is(&self.editor), is(&self.viewer)) {
            (true, _) => Some(Role::Editor),
            (false, true) => Some(Role::Viewer),
            (false, false) => None,
        }
    }

    /// The token of a role.
    pub fn of(&self, role: Role) -> Option<&Token> {
        match role {
            Role::Editor => self.editor.as_ref(),
            Role::Viewer => self.viewer.as_ref(),
        }
    }

    fn read(folder: &Path) -> Result<Self, Error> {
        let tokens = Self::new(read(&folder.join("token"))?, read(&folder.join("viewer-token"))?);
        match (&tokens.editor, &tokens.viewer) {
            (None, None) => Err(Error::Empty {
                folder: folder.to_owned(),
            }),
            (Some(editor), Some(viewer)) if editor == viewer => Err(Error::Same {
                folder: folder.to_owned(),
            }),
            _ => Ok(tokens),
        }
    }
}

fn read(file: &Path) -> Result<Option<Token>, Error> {
    match fs::read_to_string(file) {
        Ok(text) => Token::parse(&text)
            .map(Some)
            .ok_or_else(|| Error::NoToken { file: file.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::File {
            file: file.to_owned(),
            reason: error.to_string(),
        }),
    }
}

/// The folder of a mounted Secret, and what it held when it was read last.
pub struct Files {
    folder: PathBuf,
    known: RwLock<Known>,
    changes: watch::Sender<()>,
}

struct Known {
    tokens: Arc<Tokens>,
    /// What the last look found wrong, to say it once.
    wrong: Option<Error>,
}

impl Files {
    /// Reads them; a folder without any is refused.
    pub fn read(folder: PathBuf) -> Result<Self, Error> {
        let known = Known {
            tokens: Arc::new(Tokens::read(&folder)?),
            wrong: None,
        };
        Ok(Self {
            folder,
            known: RwLock::new(known),
            changes: watch::Sender::new(()),
        })
    }

    /// As they were when they were read last.
    pub fn now(&self) -> Arc<Tokens> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner).tokens)
    }

    /// Hears of it when the tokens become others.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Reads the files again. Ones that are wrong change nothing, since they may be half written; ones that are gone are gone.
    pub fn refresh(&self) {
        let (tokens, wrong) = match Tokens::read(&self.folder) {
            Ok(tokens) => (Some(tokens), None),
            Err(error @ Error::Empty { .. }) => (Some(Tokens::default()), Some(error)),
            Err(error) => (None, Some(error)),
        };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.wrong != wrong {
            if let Some(error) = &wrong {
                tracing::error!(%error, "the tokens cannot be read again");
            } else {
                tracing::info!("the tokens can be read again");
            }
            known.wrong = wrong;
        }
        if let Some(tokens) = tokens
            && *known.tokens != tokens
        {
            tracing::info!("the tokens have changed; sessions made with the old ones have ended");
            known.tokens = Arc::new(tokens);
            self.changes.send_replace(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "0123456789abcdef0123";
    const OTHER: &str = "fedcba98765432100123";

    fn folder(files: &[(&str, &str)]) -> PathBuf {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("synccluster-tokens-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn a_token_has_sixteen_visible_characters_or_more() {
        assert!(Token::parse(ONE).is_some());
        assert!(Token::parse(&format!("{ONE}\n")).unwrap().is(ONE));
        for wrong in [
            "",
            "\n",
            "short",
            "0123456789abcde",
            "0123456789 abcdef0",
            "0123456789\nabcdef0",
            "0123456789abcdé0",
        ] {
            assert!(Token::parse(wrong).is_none(), "{wrong:?}");
        }
        assert_eq!(
            format!("{:?}", Token::parse(ONE)),
            "Some(Token)",
            "a token is never shown"
        );
    }

    #[test]
    fn each_token_stands_for_its_role_and_nothing_else_does() {
        let tokens = Tokens::new(Token::parse(ONE), Token::parse(OTHER));
        assert_eq!(tokens.role(ONE), Some(Role::Editor));
        assert_eq!(tokens.role(OTHER), Some(Role::Viewer));
        for wrong in ["", &ONE[1..], &ONE[..19], &format!("{ONE} "), "0123456789ABCDEF0123"] {
            assert_eq!(tokens.role(wrong), None, "{wrong:?}");
        }
        assert_eq!(Tokens::default().role(""), None, "without tokens nobody gets in");
    }

    #[test]
    fn a_folder_that_says_nothing_or_too_little_is_refused() {
        let read = |files: &[(&str, &str)]| {
            Files::read(folder(files))
                .map(|files| files.now())
                .map_err(|error| error.to_string())
        };
        assert!(read(&[]).unwrap_err().contains("neither `token` nor `viewer-token`"));
        assert!(read(&[("token", "")]).unwrap_err().contains("holds no token"));
        assert!(
            read(&[("token", ONE), ("viewer-token", "short")])
                .unwrap_err()
                .contains("viewer-token holds no token")
        );
        assert!(
            read(&[("token", ONE), ("viewer-token", ONE)])
                .unwrap_err()
                .contains("are the same")
        );
        assert_eq!(
            read(&[("viewer-token", OTHER)]).unwrap().role(OTHER),
            Some(Role::Viewer)
        );
    }

    #[test]
    fn changed_files_count_and_spoilt_ones_do_not() {
        let folder = folder(&[("token", ONE)]);
        let files = Files::read(folder.clone()).unwrap();
        fs::write(folder.join("token"), "").unwrap();
        files.refresh();
        assert_eq!(
            files.now().role(ONE),
            Some(Role::Editor),
            "half written: the old one still counts"
        );
        fs::write(folder.join("token"), OTHER).unwrap();
        files.refresh();
        assert_eq!(
            (files.now().role(ONE), files.now().role(OTHER)),
            (None, Some(Role::Editor))
        );
        fs::remove_file(folder.join("token")).unwrap();
        files.refresh();
        assert_eq!(
            files.now().role(OTHER),
            None,
            "a token that was taken away opens nothing"
        );
    }
}
