"""Every sentence that the portal says, in Vietnamese and in English. None is made from what somebody wrote."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from vn.portal.v1 import portal_pb2 as pb

__all__ = ["CALL_AGAIN", "NOT_REGISTERED", "STEPS", "WHICH_WARD", "paper"]

STEPS: Final[Mapping[pb.Step.ValueType, pb.Text]] = MappingProxyType(
    {
        pb.STEP_BIRTH: pb.Text(
            vi="Đăng ký khai sinh; hộ tịch tự hỏi địa danh, cha mẹ và số định danh",
            en="the birth is registered; civil status itself asks for the ward, the parents and the number",
        ),
        pb.STEP_HEALTH_CARD: pb.Text(
            vi="Cấp thẻ bảo hiểm y tế cho trẻ dưới sáu tuổi",
            en="the health-insurance card of a child below six is issued",
        ),
        pb.STEP_MATERNITY_ALLOWANCE: pb.Text(
            vi="Giải quyết trợ cấp thai sản; bảo hiểm tự hỏi cha mẹ và người sử dụng lao động",
            en="the maternity allowance is decided; insurance itself asks about mother and employer",
        ),
        pb.STEP_RESIDENCE: pb.Text(
            vi="Xác nhận nơi cư trú theo sổ địa chính", en="the address is confirmed by the land register"
        ),
        pb.STEP_CERTIFICATE: pb.Text(
            vi="Nhận giấy khai sinh từ kho dữ liệu trung tâm",
            en="the birth certificate is fetched from the central store",
        ),
    }
)
WHICH_WARD: Final = pb.Text(
    vi="Đơn vị này đã được chia; hãy chọn đơn vị hiện nay nơi trẻ sinh ra, rồi gửi lại",
    en="this ward was split; choose the ward of today in which the child was born, then send it again",
)
CALL_AGAIN: Final = pb.Text(
    vi="Một cơ quan chưa trả lời; hãy gửi lại cùng giấy chứng sinh, không việc gì xảy ra hai lần",
    en="an office did not answer; send it again with the same birth notice, nothing happens twice",
)
NOT_REGISTERED: Final = pb.Text(
    vi="Chưa đăng ký được; xem lý do của bước trên, sửa rồi gửi lại",
    en="not registered; look at the reason of the step above, correct it and send it again",
)
_PAPERS: Final[Mapping[pb.Paper.ValueType, pb.Text]] = MappingProxyType(
    {
        pb.PAPER_IDENTITY_CARDS: pb.Text(vi="Bản sao căn cước của cha mẹ", en="copies of the parents' identity cards"),
        pb.PAPER_WARD_CONFIRMATION: pb.Text(
            vi="Xác nhận thay đổi địa giới hành chính", en="confirmation of what the ward is called today"
        ),
        pb.PAPER_BIRTH_CERTIFICATE_COPY: pb.Text(
            vi="Bản sao giấy khai sinh nộp cho bảo hiểm", en="copy of the birth certificate for insurance"
        ),
        pb.PAPER_EMPLOYER_CONFIRMATION: pb.Text(
            vi="Xác nhận của người sử dụng lao động", en="the employer's confirmation"
        ),
        pb.PAPER_RESIDENCE_CONFIRMATION: pb.Text(
            vi="Giấy xác nhận thông tin về cư trú", en="confirmation of residence"
        ),
        pb.PAPER_CERTIFICATE_EXTRACT: pb.Text(
            vi="Trích lục khai sinh có chứng thực", en="certified extract of the birth certificate"
        ),
    }
)


def paper(which: pb.Paper.ValueType) -> pb.PaperReplaced:
    """As an event tells it."""
    return pb.PaperReplaced(paper=which, name=_PAPERS[which])
