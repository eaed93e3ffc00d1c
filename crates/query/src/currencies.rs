//! Currencies: the codes of ISO 4217 that money is paid in today. Funds, metals and testing codes
//! are left out.

use tollgate_click::Currency;

const KNOWN: &str = "\
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD \
    CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS \
    GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW \
    KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR \
    MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR \
    SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX \
    USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG";

/// What a currency may be, in words.
pub(crate) const ALLOWED: &str = "a code of ISO 4217 such as EUR";

/// Reads a code.
pub(crate) fn parse(text: &str) -> Result<Currency, String> {
    let currency: Currency = text.parse().map_err(|error| format!("{error}"))?;
    match KNOWN.split(' ').any(|known| known == text) {
        true => Ok(currency),
        false => Err("no such currency is known".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_are_paid_in_are_known() {
        for good in ["USD", "EUR", "JPY", "ZWG", "AED"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "", "usd", "US", "XXX", "XAU", "BTC", "USD ", "EUR EUR", "AED AFN",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(KNOWN.split(' ').filter(|code| code.len() == 3).count(), 155);
        assert!(KNOWN.split(' ').is_sorted());
    }
}
