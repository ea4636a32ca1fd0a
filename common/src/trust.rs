//! Whom a target's certificate is checked against, where that is not the public authorities.

/// Certificates of authorities in PEM: at least one, of bounded size. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authorities(String);

/// Why a text is not [`Authorities`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthoritiesError {
    /// More than [`Authorities::BYTES_MAX`].
    #[error("larger than {} bytes: give the authority's certificate alone", Authorities::BYTES_MAX)]
    TooLarge,
    /// No certificate in it.
    #[error("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    /// A private key, which is nobody else's.
    #[error("holds a private key, which must not be given away: give the certificate alone")]
    PrivateKey,
}

impl Authorities {
    /// The largest text: it goes with every order to load.
    pub const BYTES_MAX: usize = 64 << 10;

    /// The certificates in a text. Whether they can be read is found out where they are used.
    ///
    /// # Errors
    /// As [`AuthoritiesError`] says.
    pub fn new(pem: String) -> Result<Self, AuthoritiesError> {
        if pem.len() > Self::BYTES_MAX {
            Err(AuthoritiesError::TooLarge)
        } else if pem.contains("PRIVATE KEY") {
            Err(AuthoritiesError::PrivateKey)
        } else if !pem.contains("-----BEGIN CERTIFICATE-----") {
            Err(AuthoritiesError::NoCertificate)
        } else {
            Ok(Self(pem))
        }
    }

    /// The text.
    pub fn pem(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_certificates_are_taken() {
        let certificate = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
        let new = |pem: &str| Authorities::new(pem.to_owned()).map(|it| it.pem().to_owned());
        assert_eq!(new(certificate), Ok(certificate.to_owned()));
        assert_eq!(new(""), Err(AuthoritiesError::NoCertificate));
        let key = format!("{certificate}-----BEGIN EC PRIVATE KEY-----\n");
        assert_eq!(new(&key), Err(AuthoritiesError::PrivateKey));
        let long = certificate.repeat(2000);
        assert_eq!(new(&long), Err(AuthoritiesError::TooLarge));
    }
}
