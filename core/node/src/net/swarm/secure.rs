//! The security of a TCP connection: TLS, or Noise where the other end does not speak it.

use futures::future::{BoxFuture, Either, FutureExt};
use futures::{AsyncRead, AsyncWrite};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use libp2p::identity::Keypair;
use libp2p::{PeerId, noise, tls};
use std::io;

/// Offers both; TLS is preferred.
#[derive(Clone)]
pub(super) struct Secure {
    tls: tls::Config,
    noise: noise::Config,
}

type Secured<C> = Either<tls::TlsStream<C>, noise::Output<C>>;

impl Secure {
    /// Under this identity.
    pub(super) fn new(key: &Keypair) -> io::Result<Self> {
        Ok(Self {
            tls: tls::Config::new(key).map_err(io::Error::other)?,
            noise: noise::Config::new(key).map_err(io::Error::other)?,
        })
    }
}

impl UpgradeInfo for Secure {
    type Info = &'static str;
    type InfoIter =
        std::iter::Chain<<tls::Config as UpgradeInfo>::InfoIter, <noise::Config as UpgradeInfo>::InfoIter>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.tls.protocol_info().chain(self.noise.protocol_info())
    }
}

/// Whether the protocol that was agreed on is TLS.
fn is_tls(config: &tls::Config, info: &str) -> bool {
    config.protocol_info().any(|known| known == info)
}

impl<C: AsyncRead + AsyncWrite + Unpin + Send + 'static> InboundConnectionUpgrade<C> for Secure {
    type Output = (PeerId, Secured<C>);
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Output>>;

    fn upgrade_inbound(self, io: C, info: Self::Info) -> Self::Future {
        async move {
            if is_tls(&self.tls, info) {
                let secured = self.tls.upgrade_inbound(io, info).await.map_err(io::Error::other)?;
                return Ok((secured.0, Either::Left(secured.1)));
            }
            let secured = self.noise.upgrade_inbound(io, info).await.map_err(io::Error::other)?;
            Ok((secured.0, Either::Right(secured.1)))
        }
        .boxed()
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin + Send + 'static> OutboundConnectionUpgrade<C> for Secure {
    type Output = (PeerId, Secured<C>);
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Output>>;

    fn upgrade_outbound(self, io: C, info: Self::Info) -> Self::Future {
        async move {
            if is_tls(&self.tls, info) {
                let secured = self.tls.upgrade_outbound(io, info).await.map_err(io::Error::other)?;
                return Ok((secured.0, Either::Left(secured.1)));
            }
            let secured = self.noise.upgrade_outbound(io, info).await.map_err(io::Error::other)?;
            Ok((secured.0, Either::Right(secured.1)))
        }
        .boxed()
    }
}
